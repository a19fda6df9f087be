"""Rewards: a small library, and functions from the user's own file, all with TRL's signature. No torch."""

from __future__ import annotations

import importlib.util
import json
import math
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema

from poise.data.questions import last_number
from poise.errors import DataError, UserError
from poise.specs import Reward

RewardFunction = Callable[..., list[float | None]]
BREVITY_LENGTH = 16


def load_rewards(rewards: Sequence[Reward], inputs: Mapping[str, Path], columns: set[str]) -> list[RewardFunction]:
    """The functions that a spec names, with names of their own for the metrics.

    Raises `DataError` where the data lacks a column that a reward compares with, `UserError` for a file of the user's
    that has no such function.
    """
    functions: list[RewardFunction] = []
    for index, reward in enumerate(rewards):
        if reward.file:
            function = _checked(_from_file(inputs[f"rewards.{index}"], reward.file[1]), reward.use)
        else:
            function = _from_library(reward, columns)
        function.__name__ = _unused(reward.file[1] if reward.file else reward.use, functions)
        functions.append(function)
    return functions


def text_of(completion: Any) -> str:
    """The text of one completion as TRL passes it: plain, or a list with the assistant's message."""
    return completion if isinstance(completion, str) else str(completion[0]["content"])


def exact_number(text: str, answer: str) -> float:
    """1 where the last number in the text is the last one in the answer, else 0."""
    number = last_number(text)
    return float(number is not None and number == last_number(answer))


def choice(text: str, answer: str, choices: Sequence[str]) -> float:
    """1 where exactly one of the choices stands in the text as a word, and it is the answer."""
    named = {item for item in choices if re.search(rf"(?<!\w){re.escape(item)}(?!\w)", text, re.IGNORECASE)}
    return float(len(named) == 1 and named.pop().casefold() == answer.strip().casefold())


def brevity(text: str, length: int) -> float:
    """1 up to `length` characters, then falling as `length / characters`; 0 for saying nothing."""
    return min(1.0, length / len(text.strip())) if text.strip() else 0.0


def valid_json(text: str, validator: Any) -> float:
    """1 where the text is JSON that satisfies the schema."""
    try:
        return float(validator.is_valid(json.loads(text)))
    except (ValueError, RecursionError):
        return 0.0


def _from_library(reward: Reward, columns: set[str]) -> RewardFunction:
    match reward.use:
        case "exact_number":
            return _compared(exact_number, reward, columns)
        case "choice":
            choices = reward.choices or []
            return _compared(lambda text, answer: choice(text, answer, choices), reward, columns)
        case "regex":
            pattern = re.compile(reward.pattern or "")
            return _each(lambda text: float(pattern.search(text) is not None))
        case "json_schema":
            validator = jsonschema.Draft202012Validator(reward.json_schema or {})
            return _each(lambda text: valid_json(text, validator))
        case "brevity":
            length = reward.length or BREVITY_LENGTH
            return _each(lambda text: brevity(text, length))
    raise ValueError(reward.use)


def _each(score: Callable[[str], float]) -> RewardFunction:
    def function(completions: list[Any], **_: Any) -> list[float | None]:
        return [score(text_of(completion)) for completion in completions]

    return function


def _compared(score: Callable[[str, str], float], reward: Reward, columns: set[str]) -> RewardFunction:
    column = reward.column or "answer"
    if column not in columns:
        have = ", ".join(sorted(columns - {"prompt"})) or "none"
        raise DataError(
            f"reward {reward.use} compares with the column {column!r}; beside the prompt the data has: {have}",
            advice="name another with `column:`, or map it with `data.columns`",
        )

    def function(completions: list[Any], **given: Any) -> list[float | None]:
        pairs = zip(completions, given[column], strict=True)
        return [score(text_of(completion), str(answer)) for completion, answer in pairs]

    return function


def _from_file(path: Path, name: str) -> Callable[..., Any]:
    module = _load(path)
    function = getattr(module, name, None)
    if not callable(function):
        own = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UserError(f"{path.name} has no function {name!r}", advice=f"it has: {', '.join(own) or 'none'}")
    return function  # type: ignore[no-any-return]


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"poise_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} cannot be imported", advice="name a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses and pickle look their module up there
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # the user's own code may raise anything
        raise UserError(f"{path.name} cannot be imported: {type(error).__name__}: {error}") from error
    return module


def _checked(function: Callable[..., Any], use: str) -> RewardFunction:
    """The user's function, with what it raises and returns turned into an error that names it."""

    def checked(**given: Any) -> list[float | None]:
        count = len(given["completions"])
        try:
            rewards = list(function(**given))
        except Exception as error:  # the user's own code may raise anything
            first = text_of(given["completions"][0])[:80]
            raise UserError(
                f"reward {use} raised {type(error).__name__}: {error}",
                advice=f"it was given {count} completions, the first was {first!r}; its traceback is in the log",
            ) from error
        if len(rewards) != count:
            raise UserError(f"reward {use} returned {len(rewards)} values for {count} completions")
        for index, value in enumerate(rewards):
            if value is not None and not (isinstance(value, Real) and math.isfinite(value)):
                said = text_of(given["completions"][index])[:80]
                raise UserError(f"reward {use} returned {value!r} for {said!r}", advice="return a number or None")
        return [None if value is None else float(value) for value in rewards]

    return checked


def _unused(name: str, functions: Sequence[RewardFunction]) -> str:
    taken = {function.__name__ for function in functions}
    return next(item for item in (name, *(f"{name}_{n}" for n in range(2, 99))) if item not in taken)
