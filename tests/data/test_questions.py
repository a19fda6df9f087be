"""When an answer counts as right."""

import pytest

from poise.data import is_correct


@pytest.mark.parametrize(
    ("completion", "answer", "expected"),
    [
        ("12", "12", True),
        ("7 + 5 makes 12.", "12", True),
        ("12 or 13", "12", False),
        ("", "12", False),
        ("1,200", "1200", True),
        ("-3", "3", False),
        ("0.50", "0.5", True),
        ("so 18 - 7 = 11\n#### 11", "18 minus 7 is 11\n#### 11", True),
        ("yes", "yes", True),
        ("  yes \n", "yes", True),
        ("yes, 3 of them", "no", False),
        ("room 4 upstairs", "room 4 downstairs", False),
    ],
)
def test_the_last_number_counts_or_else_the_words(completion: str, answer: str, expected: bool) -> None:
    assert is_correct(completion, answer) is expected
