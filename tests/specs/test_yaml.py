"""YAML is read as kubectl reads it, or one file would mean two things."""

import pytest

from poise.errors import SpecError
from poise.specs import yaml


def value(text: str) -> object:
    return yaml.parse(f"value: {text}")[0].data.get("value", "absent")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-6", 1e-6), ("5e5", 5e5), ("1.5", 1.5), (".5", 0.5), ("-3", -3), ("+3", 3), ("0o17", 15), ("017", 15),
        ("0x1F", 31), ("0b101", 5), ("1_000", 1000), ("12:30:45", "12:30:45"), ("2024-01-02", "2024-01-02"),
        ("true", True), ("yes", True), ("on", True), ("off", False), ("No", False), ("'yes'", "yes"), ("tru", "tru"),
        ("null", "absent"), ("~", "absent"), ("", "absent"), ("'1e-6'", "1e-6"), ("24Gi", "24Gi"), ("1.2.3", "1.2.3"),
    ],
)  # fmt: skip
def test_a_scalar_is_what_kubectl_makes_of_it(text: str, expected: object) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


def test_lines_are_kept_for_keys_and_items() -> None:
    document = yaml.parse("a:\n  b:\n    - 1\n    - 2\n")[0]
    assert document.line(("a", "b")) == 2
    assert document.line(("a", "b", 1)) == 4
    assert document.line(("a", "missing", "deeper")) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\na: 2", "'a' stands twice"),
        ("- 1", "expected a mapping"),
        ("a: !!python/object:os.system x", "not supported"),
        ("a: .nan", "not a number that can be kept"),
        ("a: -.INF", "not a number that can be kept"),
        ("a: .NaN", "not a number that can be kept"),
        ("a: !!int abc", "not a number that can be kept"),
        ("a: 0x_", "not a number that can be kept"),
        ("? [1]\n: 2", "a key must be a word"),
        ("a: &a {<<: *a}", "merge keys"),
        ("a: &a [*a]", "nested too deeply"),
        ("a: " + "[" * 200, "cannot be read"),
    ],
)
def test_what_kubectl_would_not_take_is_refused_with_its_line(text: str, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        yaml.parse(text, "run.yaml")


def test_aliases_that_double_at_every_level_are_refused_quickly() -> None:
    bomb = "\n".join(["a0: &a0 [1, 2]", *(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 40))])
    with pytest.raises(SpecError, match="too large"):
        yaml.parse(bomb)
