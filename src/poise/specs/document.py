"""Write the page on the file format from the specs: `python -m poise.specs.document > docs/file-format.md`."""

from __future__ import annotations

import types
import typing
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from poise.specs import reference
from poise.specs.load import METHOD_SPECS
from poise.specs.run import Metadata, Pipeline, Run, Step

_INTRODUCTION = """\
# The file format

A file holds one resource: a `Run`, or a `Pipeline` of several. `poise run FILE` executes it on this machine.
`poise validate FILE` checks it, `poise schema` prints its JSON Schema for editors.
This page is written by `make docs` from the classes that read the files.

```yaml
apiVersion: poise.dev/v1alpha1
kind: Run
metadata: {name: sums-sft}
spec:
  method: sft
  base: builtin:tiny
  data: {train: "builtin:sums?split=train", eval: "builtin:sums?split=test"}
  adapter: {rank: 16, alpha: 32}
  options: {max_steps: 30}
  publish: {model: sums}
```

Files are read as kubectl reads them: `1e-6` is a number, `yes` is true, `12:30:45` is text, a key may not stand
twice, and a key without a value is an absent key. An unknown key is an error.
"""


def markdown() -> str:
    """The whole page."""
    parts = [
        _INTRODUCTION,
        "## References\n",
        _references(),
        "## Run\n",
        _table(Run),
        "### metadata\n",
        _table(Metadata),
    ]
    seen: set[type[BaseModel]] = set()
    for method, spec in METHOD_SPECS.items():
        parts += [f"## spec of method `{method}`\n", f"{_summary(spec)}\n", _table(spec)]
        for path, model in _nested(spec):
            if model not in seen:
                seen.add(model)
                parts += [f"### {path}: {model.__name__}\n", f"{_summary(model)}\n", _table(model)]
    parts += ["## Pipeline\n", _table(Pipeline), "### An item of spec.steps\n", _table(Step)]
    parts += ["`base: step:NAME` stands for what an earlier step has made. A step whose resolved spec, inputs and code",
              "have not changed since it was last run is not run again.\n"]  # fmt: skip
    return "\n".join(parts)


def _references() -> str:
    grammar = (reference.__doc__ or "").partition("::")[2].strip("\n")
    lines = [line.removeprefix("    ") for line in grammar.splitlines()]
    return "\n".join(
        ["`base` and everything under `data` are references, one grammar for all:\n", "```", *lines, "```\n"]
    )


def _table(model: type[BaseModel]) -> str:
    rows = ["| field | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in model.model_fields.items():
        cells = (f"`{field.alias or name}`", _type(field.annotation), _default(field), field.description or "")
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*rows, ""])


def _summary(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().splitlines()[0]


def _type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is typing.Literal:
        return ", ".join(f"`{argument}`" for argument in arguments)
    if origin in (typing.Union, types.UnionType):
        shown = dict.fromkeys(_type(argument) for argument in arguments if argument is not type(None))
        return "see below" if len(shown) > 2 else " or ".join(shown)
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is dict or annotation is dict:
        return "mapping"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return names.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default is PydanticUndefined or field.default is None or isinstance(field.default, BaseModel):
        return ""
    return f"`{field.default}`" if field.default != {} else ""


def _nested(model: type[BaseModel], path: str = "spec") -> list[tuple[str, type[BaseModel]]]:
    found = []
    for name, field in model.model_fields.items():
        for inner in _models(field.annotation):
            found += [(f"{path}.{name}", inner), *_nested(inner, f"{path}.{name}")]
    return found


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in typing.get_args(annotation) for model in _models(argument)]


if __name__ == "__main__":
    print(markdown(), end="")
