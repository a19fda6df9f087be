"""The JSON Schema that editors use gives the verdicts that the loader gives."""

import jsonschema
import pytest
import yaml as pyyaml

from poise.specs import json_schema

GOOD = """\
apiVersion: poise.dev/v1alpha1
kind: Run
metadata: {name: a}
spec:
  method: sft
  base: builtin:tiny
  adapter: {rank: 4}
  data: {train: "builtin:sums?split=train"}
  options: {max_steps: 3}
"""


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def test_the_schema_takes_a_good_file(validator: jsonschema.Draft202012Validator) -> None:
    assert validator.is_valid(pyyaml.safe_load(GOOD))


@pytest.mark.parametrize(
    ("before", "after"),
    [("max_steps", "max_stps"), ("rank: 4", "rank: four"), ("method: sft", "method: stf"), ("kind: Run", "kind: R")],
)
def test_the_schema_refuses_a_bad_file(validator: jsonschema.Draft202012Validator, before: str, after: str) -> None:
    assert not validator.is_valid(pyyaml.safe_load(GOOD.replace(before, after)))


def test_every_field_is_described() -> None:
    bare = [
        f"{name}.{field}"
        for name, definition in json_schema()["$defs"].items()
        for field, schema in definition.get("properties", {}).items()
        if not {"description", "const", "$ref"} & schema.keys()
    ]
    assert bare == []
