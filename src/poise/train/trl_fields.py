"""Print the fields of TRL's config classes as JSON: `python -m poise.train.trl_fields > src/poise/specs/trl.json`.

`poise validate` checks a file's `trl:` block against that table, so that a wrong name is found without importing
torch. A test holds the committed table equal to this output.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from typing import Any


def _kinds(annotation: Any) -> list[str]:
    """JSON type names that a value of `annotation` may have; empty where anything goes."""
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        parts = [_kinds(part) for part in typing.get_args(annotation) if part is not type(None)]
        return sorted({kind for part in parts for kind in part}) if all(parts) else []
    if origin is typing.Literal:
        return ["string"]
    table = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    kind = table.get(origin or annotation)
    return [kind] if kind else []


def fields(config: type) -> dict[str, str]:
    """Name -> JSON types (`integer|string`) of every field that TRL's constructor takes; empty: anything goes."""
    hints = typing.get_type_hints(config)
    return {item.name: "|".join(_kinds(hints[item.name])) for item in dataclasses.fields(config) if item.init}


def main() -> None:
    import trl

    table = {name: fields(getattr(trl, name)) for name in ("SFTConfig", "GRPOConfig")}
    print(json.dumps({"version": trl.__version__, **table}, indent=1, sort_keys=True))


if __name__ == "__main__":
    main()
