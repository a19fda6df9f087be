"""A reward of your own: a function with TRL's signature, named in a file as `rewards.py:close_enough`."""

from __future__ import annotations

import re
from typing import Any


def close_enough(completions: list[Any], answer: list[str], **columns: Any) -> list[float | None]:
    """Full reward for the right sum, half for one off, less the further away.

    Args:
        completions: one per sample; for conversations a list with the assistant's message.
        answer: the data's column of that name, one per sample. Other columns come in `columns`.

    Returns:
        One number per sample; None leaves a sample to the other rewards.
    """
    rewards: list[float | None] = []
    for completion, expected in zip(completions, answer, strict=True):
        text = completion if isinstance(completion, str) else completion[0]["content"]
        numbers = re.findall(r"\d+", text)
        rewards.append(1.0 / (1 + abs(int(numbers[-1]) - int(expected))) if numbers else None)
    return rewards
