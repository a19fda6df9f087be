"""YAML as kubectl reads it, with the line of every value.

kubectl reads YAML 1.1 the way go-yaml does and turns it into JSON: `1e-6` is a number, `0o17` is 15, `12:30:45` a
string, `yes` and `on` are true, duplicate keys are refused, and nulls are dropped. PyYAML by itself disagrees on some
of these, and one file would then mean two things.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

from poise.errors import SpecError

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """A mapping and, for the path of each of its keys and items, the line (from 1) on which it stands."""

    data: dict[str, Any]
    lines: dict[Path, int] = field(default_factory=dict)

    def line(self, path: Path) -> int:
        """The line of `path`, or of its nearest ancestor in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers = {}  # noqa: RUF012 (PyYAML declares it an instance variable)


_INT = re.compile(r"^[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)$")
_FLOAT = re.compile(
    r"^[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
)
_BOOL = re.compile(r"^(true|True|TRUE|false|False|FALSE|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOL, list("tTfFyYnNoO"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", _INT, list("-+0123456789"))
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])


def parse(text: str, source: str = "<text>") -> list[Document]:
    """Read every document of `text`; raises `SpecError` with the line for what is no YAML mapping."""
    try:
        nodes = list(yaml.compose_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        problem = error.problem or error.context or "not YAML"
        advice = "indent with spaces, not tabs" if "\\t" in problem else None
        raise SpecError(f"{source}:{line}: cannot be read as YAML: {problem}", advice=advice) from error
    except (yaml.YAMLError, RecursionError) as error:
        raise SpecError(f"{source}: cannot be read as YAML: {str(error).splitlines()[0]}") from error
    return [_document(node, source) for node in nodes if not _is_null(node)]


def _document(node: yaml.Node, source: str) -> Document:
    if not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + 1
        raise SpecError(f"{source}:{line}: expected a mapping that begins with apiVersion and kind")
    lines: dict[Path, int] = {(): node.start_mark.line + 1}
    data = _construct(node, (), lines, source)
    return Document(data, lines)


def _construct(node: yaml.Node, path: Path, lines: dict[Path, int], source: str) -> Any:
    # Aliases may refer to themselves or double at every level; a file a person wrote stays far below both limits.
    if len(path) > 64 or len(lines) > 20_000:
        raise SpecError(
            f"{source}:{node.start_mark.line + 1}: nested too deeply, or too large once aliases are expanded"
        )
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, lines, source)
    if isinstance(node, yaml.SequenceNode):
        items = []
        for index, child in enumerate(node.value):
            lines[(*path, index)] = child.start_mark.line + 1
            items.append(_construct(child, (*path, index), lines, source))
        return items
    return _scalar(node, source)


def _mapping(node: yaml.MappingNode, path: Path, lines: dict[Path, int], source: str) -> dict[str, Any]:
    result: dict[str, Any] = {}
    seen: dict[str, int] = {}
    for key_node, value_node in node.value:
        line = key_node.start_mark.line + 1
        if not isinstance(key_node, yaml.ScalarNode):
            raise SpecError(f"{source}:{line}: a key must be a word, not a list or mapping")
        if key_node.tag == "tag:yaml.org,2002:merge":
            raise SpecError(f"{source}:{line}: merge keys (<<) are not supported", advice="write the keys out")
        key = key_node.value
        if key in seen:
            raise SpecError(f"{source}:{line}: key {key!r} stands twice (first on line {seen[key]})")
        seen[key] = line
        lines[(*path, key)] = line
        value = _construct(value_node, (*path, key), lines, source)
        if value is not None:
            result[key] = value
    return result


def _scalar(node: yaml.Node, source: str) -> Any:
    line = node.start_mark.line + 1
    value = str(node.value)
    kind = node.tag.rsplit(":", 1)[-1]
    try:
        match kind:
            case "null":
                return None
            case "bool":
                return value.lower() in {"true", "yes", "on"}
            case "int":
                return _integer(value)
            case "float":
                return _float(value)
            case "str":
                return value
    except ValueError as error:
        raise SpecError(f"{source}:{line}: {value} is not a number that can be kept") from error
    raise SpecError(f"{source}:{line}: the tag {node.tag} is not supported", advice="remove the tag")


def _integer(value: str) -> int:
    digits = value.replace("_", "")
    unsigned = digits.lstrip("+-")
    if len(unsigned) > 1 and unsigned.startswith("0") and unsigned[1].isdigit():
        return int(digits, 8)
    return int(digits, 0)


def _float(value: str) -> float:
    number = float(value.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    if not math.isfinite(number):
        raise ValueError(value)
    return number


def _is_null(node: yaml.Node | None) -> bool:
    return node is None or (isinstance(node, yaml.ScalarNode) and node.tag.endswith(":null"))
