"""JSON Schema of the files, for editors (`# yaml-language-server: $schema=...`) and for `poise schema`."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema

from poise.specs.run import Pipeline, Run


def json_schema() -> dict[str, Any]:
    """One schema (2020-12) that takes a `Run` or a `Pipeline`."""
    schema = TypeAdapter(Run | Pipeline).json_schema(by_alias=True)
    return {
        "$schema": GenerateJsonSchema.schema_dialect,
        "$id": "https://poise.dev/schemas/v1alpha1.json",
        "title": "Poise",
        **schema,
    }
