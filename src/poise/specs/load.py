"""Read a file into a `Run` or `Pipeline`, or say on which line it is wrong and what was probably meant."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from poise.errors import SpecError
from poise.specs import yaml
from poise.specs.run import API_VERSION, MethodSpec, Pipeline, Run

Resource = Run | Pipeline
_KINDS: dict[str, type[Run] | type[Pipeline]] = {"Run": Run, "Pipeline": Pipeline}
METHOD_SPECS: dict[str, type[BaseModel]] = {
    get_args(spec.model_fields["method"].annotation)[0]: spec for spec in get_args(get_args(MethodSpec)[0])
}


@dataclass(frozen=True)
class Loaded:
    """A file as it was read: `text` verbatim, `folder` what its relative paths are relative to."""

    resource: Resource
    text: str
    folder: Path
    overrides: tuple[str, ...] = ()


def load_file(path: Path, overrides: tuple[str, ...] = ()) -> Loaded:
    """Read the one resource in `path`. `overrides` are `spec.options.seed=7`: applied before validation.

    Raises `SpecError` with one line per mistake, each `FILE:LINE: field: what is wrong`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SpecError(f"{path}: no such file", advice=_near_files(path)) from error
    except IsADirectoryError as error:
        raise SpecError(f"{path} is a folder", advice="name one YAML file in it") from error
    except UnicodeDecodeError as error:
        raise SpecError(f"{path}: not a text file in UTF-8") from error
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    return Loaded(loads(text, str(path), overrides), text, path.resolve().parent, overrides)


def loads(text: str, source: str = "<text>", overrides: tuple[str, ...] = ()) -> Resource:
    """Validate one YAML document; see `load_file`."""
    documents = yaml.parse(text, source)
    if not documents:
        raise SpecError(f"{source}: the file is empty", advice="start from a file in examples/")
    if len(documents) > 1:
        line = documents[1].line(())
        raise SpecError(f"{source}:{line}: a second document begins here", advice="write one resource per file")
    document = documents[0]
    for override in overrides:
        _override(document.data, override)
    model = _kind(document, source)
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        lines = [_explain(item, document, source, model) for item in error.errors(include_url=False)]
        raise SpecError("\n".join(dict.fromkeys(lines))) from error


def _kind(document: yaml.Document, source: str) -> type[Run] | type[Pipeline]:
    kind = document.data.get("kind")
    if isinstance(kind, str) and kind in _KINDS:
        version = document.data.get("apiVersion")
        if version is not None and version != API_VERSION:
            raise SpecError(f"{source}:{document.line(('apiVersion',))}: apiVersion is {version!r}, not {API_VERSION}")
        return _KINDS[kind]
    if kind is None:
        near = get_close_matches("kind", document.data, n=1)
        hint = f"is {near[0]!r} a slip of it?" if near else "write `kind: Run` or `kind: Pipeline`"
        raise SpecError(f"{source}:{document.line(())}: kind is missing", advice=hint)
    near = get_close_matches(str(kind), _KINDS, n=1, cutoff=0.4)
    advice = f"did you mean {near[0]}?" if near else "kinds are Run and Pipeline"
    raise SpecError(f"{source}:{document.line(('kind',))}: there is no kind {kind!r}", advice=advice)


def _explain(error: ErrorDetails, document: yaml.Document, source: str, model: type[BaseModel]) -> str:
    path, owner = _walk(error["loc"], document.data, model)
    if error["type"] == "field_error":
        path = (*path, error["ctx"]["key"])
    field = _dotted(path) or "the file"
    where = f"{source}:{document.line(path)}: {field}"
    match error["type"]:
        case "extra_forbidden":
            known = sorted(_keys(owner))
            near = get_close_matches(str(path[-1]), known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"
            return f"{where}: unknown key; {hint}"
        case "missing":
            return f"{where}: is missing{_slip(path, owner, document.data)}"
        case "union_tag_not_found":
            return f"{where}.method: is missing; methods are {', '.join(METHOD_SPECS)}"
        case "union_tag_invalid":
            tag = str(error["ctx"]["tag"])
            near = get_close_matches(tag, METHOD_SPECS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"methods are {', '.join(METHOD_SPECS)}"
            return f"{source}:{document.line((*path, 'method'))}: {field}.method: no method is called {tag!r}; {hint}"
        case "literal_error":
            return f"{where}: is {error['input']!r}, but takes {error['ctx']['expected']}"
        case "value_error":
            return f"{where}: {error['ctx']['error']}"
        case "field_error":
            return f"{where}: {error['msg']}"
        case "string_pattern_mismatch":
            return f"{where}: {error['input']!r} has a character that a name may not have: use a-z, 0-9 and -"
    message = error["msg"].replace("Input should be", "should be").replace("valid dictionary", "mapping")
    return f"{where}: {message}, not {_shown(error['input'])}"


def _shown(value: Any) -> str:
    kind = {dict: "a mapping", list: "a list", str: "the text", bool: "the boolean"}.get(type(value), "")
    return kind if isinstance(value, dict | list) else f"{kind} {value!r}".strip()


def _walk(
    loc: tuple[str | int, ...], data: Any, model: type[BaseModel]
) -> tuple[tuple[str | int, ...], type[BaseModel] | None]:
    """The path in the file of a pydantic location (which also names union tags), and the model it is a key of."""
    path: list[str | int] = []
    owner: type[BaseModel] | None = model
    current: type[BaseModel] | None = model
    for part in loc:
        if part in METHOD_SPECS and isinstance(data, dict) and data.get("method") == part:
            owner = current = METHOD_SPECS[str(part)]
            continue
        owner, current = current, _child(current, part)
        path.append(part)
        if isinstance(data, dict):
            data = data.get(str(part))
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
    file_path = tuple(part for part in path if not (isinstance(part, str) and part.startswith(("list[", "literal["))))
    return file_path, owner


def _child(model: type[BaseModel] | None, part: str | int) -> type[BaseModel] | None:
    """The model that `part` of `model` holds; list items keep the list's item model."""
    if model is None or isinstance(part, int):
        return model
    for name, info in model.model_fields.items():
        if part in (name, info.alias):
            return next(iter(_models(info.annotation)), None)
    return None


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]


def _keys(model: type[BaseModel] | None) -> set[str]:
    return {info.alias or name for name, info in model.model_fields.items()} if model else set()


def _slip(path: tuple[str | int, ...], owner: type[BaseModel] | None, data: Any) -> str:
    """A key beside the missing one that nobody asked for and that looks like it."""
    for part in path[:-1]:
        data = data[part]
    near = get_close_matches(str(path[-1]), [key for key in data if key not in _keys(owner)], n=1)
    return f"; is {near[0]!r} a slip of it?" if near else ""


def _dotted(path: tuple[str | int, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")


def _override(data: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise SpecError(f"--set {override}: write it as spec.options.max_steps=10")
    value = yaml.parse(f"value: {text}", f"--set {key}")[0].data.get("value")
    *parents, last = key.split(".")
    node: Any = data
    for part in parents:
        node = _enter(node, part, key)
    if isinstance(node, list):
        raise SpecError(f"--set {key}: {last!r} would be a key of a list; write for example steps.0.name")
    node[last] = value


def _enter(node: Any, part: str, key: str) -> Any:
    if isinstance(node, list):
        if not part.isdigit() or int(part) >= len(node):
            raise SpecError(f"--set {key}: {part!r} is no item of a list of {len(node)}")
        return node[int(part)]
    child = node.setdefault(part, {})
    if not isinstance(child, dict | list):
        raise SpecError(f"--set {key}: {part!r} holds a value, not a mapping")
    return child


def _near_files(path: Path) -> str | None:
    folder = path.parent
    near = get_close_matches(path.name, [item.name for item in folder.glob("*")], n=1) if folder.is_dir() else []
    return f"did you mean {folder / near[0]}?" if near else None
