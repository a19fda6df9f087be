"""Every example is a valid file, and what it names beside it is there."""

from pathlib import Path

import pytest

from poise.specs import Reference, Run, load_file, references

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_the_example_is_valid(path: Path) -> None:
    resource = load_file(path).resource
    specs = [resource.spec] if isinstance(resource, Run) else [step.spec for step in resource.spec.steps]
    for spec in specs:
        for text in references(spec).values():
            reference = Reference.parse(text)
            assert reference.scheme != "path" or (path.parent / reference.target).exists()


def test_there_is_an_example_of_every_method() -> None:
    text = "".join(path.read_text() for path in EXAMPLES)
    for method in ("sft", "grpo", "merge", "quantize"):
        assert f"method: {method}" in text
