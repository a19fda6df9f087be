"""The calibration set of a quantization: token ids of what the model usually meets, and some of everything else."""

from __future__ import annotations

import contextlib
import random

from poise.artifacts.task import Task
from poise.data import Renderer, Row, conversations, prompts, read_rows
from poise.errors import DataError
from poise.weights.general import GENERAL_TEXTS


def calibration_blocks(task: Task) -> list[list[int]]:
    """`samples` rows chosen by `seed`, shuffled among general texts, then joined and cut into blocks of equal length.

    No row or block is longer than `max_length`. Of blocks of different lengths GPTQModel would calibrate AWQ on the
    last batch alone.

    Raises:
        DataError: the rows cannot be read or rendered.
    """
    data, options = task.spec.data, task.spec.options
    rows = read_rows(task.inputs["data.calibration"], data.calibration, data.columns)
    chance = random.Random(options.seed)
    chosen = chance.sample(rows, min(options.samples, len(rows)))
    renderer = Renderer(task.inputs["base"])
    texts = [_tokens(row, renderer) for row in chosen]
    texts += [renderer.tokenizer.encode(text, add_special_tokens=False).ids for text in GENERAL_TEXTS]
    texts = [text[: options.max_length] for text in texts]
    chance.shuffle(texts)
    length = max(map(len, texts))
    joined = [token for text in texts for token in text]
    return [joined[begin : begin + length] for begin in range(0, len(joined) - length + 1, length)]


def _tokens(row: Row, renderer: Renderer) -> list[int]:
    # Rows for GRPO have no answers; their prompts calibrate less well, but they do.
    with contextlib.suppress(DataError):
        return renderer.conversation(conversations([row])[0]).tokens
    prompt = prompts([row])[0]
    return renderer.prompt(prompt.messages, prompt.where)
