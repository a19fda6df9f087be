"""The library of rewards, and what is said of a user's own functions. None of it needs torch."""

from pathlib import Path
from typing import Any

import pytest

from poise.errors import DataError, UserError
from poise.specs import Reward
from poise.train.rewards import load_rewards

SCHEMA = {"type": "object", "required": ["total"], "properties": {"total": {"type": "integer"}}}


def said(*texts: str) -> list[list[dict[str, str]]]:
    return [[{"role": "assistant", "content": text}] for text in texts]


def score(reward: dict[str, Any], *texts: str, answer: object = "12") -> list[float | None]:
    (function,) = load_rewards([Reward.model_validate(reward)], {}, {"prompt", "answer"})
    return function(completions=said(*texts), answer=[answer] * len(texts), trainer_state=None)


@pytest.mark.parametrize(
    ("text", "answer", "expected"),
    [
        ("12", "12", 1.0),
        ("7 + 5 makes 12.", "12", 1.0),
        ("12, or rather 13", "12", 0.0),
        ("", "12", 0.0),
        ("twelve", "12", 0.0),
        ("it lies in 7-12", "12", 1.0),
        ("1, 2, 12", 12, 1.0),
        ("$1,200.00", "so it is\n#### 1200", 1.0),
        ("-12", "12", 0.0),
        ("1e999", "12", 0.0),
        ("12", "none", 0.0),
    ],
)
def test_exact_number_compares_the_last_numbers(text: str, answer: object, expected: float) -> None:
    assert score({"use": "exact_number"}, text, answer=answer) == [expected]


def test_brevity_falls_with_every_character_over_its_length_and_pays_nothing_for_silence() -> None:
    assert score({"use": "brevity", "length": 4}, "12", " 1234 ", "12345678", "", "   ") == [1.0, 1.0, 0.5, 0.0, 0.0]
    assert score({"use": "brevity"}, "x" * 16, "x" * 64) == [1.0, 0.25]


def test_choice_wants_one_choice_named_and_it_the_right_one() -> None:
    reward = {"use": "choice", "choices": ["yes", "no", "c++"]}
    texts = ("Yes.", "no", "yes or no", "I know nothing", "")
    assert score(reward, *texts, answer="yes") == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert score(reward, "use C++!", answer="c++") == [1.0]


def test_regex_searches_the_completion() -> None:
    assert score({"use": "regex", "pattern": r"^\d+$"}, "12", "12.", "") == [1.0, 0.0, 0.0]


def test_json_schema_pays_for_valid_json_alone() -> None:
    texts = ('{"total": 3}', '{"total": "3"}', "{}", "```{}```", "[" * 100_000)
    assert score({"use": "json_schema", "json_schema": SCHEMA}, *texts) == [1.0, 0.0, 0.0, 0.0, 0.0]


def test_the_same_reward_twice_has_two_names() -> None:
    rewards = [Reward(use="brevity", length=4), Reward(use="brevity", length=8)]
    assert [function.__name__ for function in load_rewards(rewards, {}, set())] == ["brevity", "brevity_2"]  # type: ignore[attr-defined]


def test_a_reward_that_compares_with_a_column_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(DataError, match="the data has: answer"):
        score({"use": "exact_number", "column": "solution"}, "12")


def own(folder: Path, text: str, name: str = "mine") -> list[float | None]:
    path = folder / "mine.py"
    path.write_text(text)
    (function,) = load_rewards([Reward(use=f"mine.py:{name}")], {"rewards.0": path}, set())
    return function(completions=said("12", "13"), trainer_state=None)


def test_a_function_of_the_users_may_return_numbers_of_any_kind_or_none(tmp_path: Path) -> None:
    text = "from fractions import Fraction\ndef mine(completions, **given):\n    return (Fraction(1, 2), None)\n"
    assert own(tmp_path, text) == [0.5, None]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def mine(:\n", "mine.py cannot be imported: SyntaxError"),
        ("import no_such_library\n", "No module named 'no_such_library'"),
        ("def other(completions, **given): ...\n", "mine.py has no function 'mine'\nit has: other"),
        ("mine = 3\n", "has no function 'mine'"),
        ("def mine(completions, **given): raise KeyError('x')\n", "reward mine.py:mine raised KeyError: 'x'"),
        ("def mine(texts): ...\n", "raised TypeError"),
        ("def mine(completions, **given): return None\n", "raised TypeError"),
        ("def mine(completions, **given): return [1.0]\n", "returned 1 values for 2 completions"),
        ("def mine(completions, **given): return [1.0, '2']\n", "returned '2' for '13'"),
        ("def mine(completions, **given): return [1.0, float('inf')]\n", "returned inf for '13'"),
    ],
)
def test_what_a_function_of_the_users_does_wrong_is_said(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        own(tmp_path, text)
    assert words in str(caught.value)
