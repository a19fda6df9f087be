"""The page on the file format is what the specs say, and its example is a valid file."""

from pathlib import Path

from poise.specs import loads
from poise.specs.document import markdown

PAGE = Path(__file__).parents[2] / "docs/file-format.md"


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == markdown(), "run `make docs`"


def test_its_example_is_valid() -> None:
    example = markdown().partition("```yaml\n")[2].partition("```")[0]
    assert loads(example).metadata.name == "sums-sft"
