"""Calibration rows for quantization: token ids of what the model usually meets."""

from __future__ import annotations

import contextlib
import random

from poise.artifacts.task import Task
from poise.data import Renderer, Row, conversations, prompts, read_rows
from poise.errors import DataError


def calibration_rows(task: Task) -> list[list[int]]:
    """Token ids of `samples` rows chosen by `seed`, each cut at `max_length`; raises `DataError` for unusable data."""
    data, options = task.spec.data, task.spec.options
    rows = read_rows(task.inputs["data.calibration"], data.calibration, data.columns)
    chosen = random.Random(options.seed).sample(rows, min(options.samples, len(rows)))
    renderer = Renderer(task.inputs["base"])
    return [_tokens(row, renderer)[: options.max_length] for row in chosen]


def _tokens(row: Row, renderer: Renderer) -> list[int]:
    # Training data of GRPO has no answers: the prompt alone calibrates less well, but it does.
    with contextlib.suppress(DataError):
        return renderer.conversation(conversations([row])[0]).tokens
    prompt = prompts([row])[0]
    return renderer.prompt(prompt.messages, prompt.where)
