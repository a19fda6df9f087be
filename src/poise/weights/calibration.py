"""Calibration rows for quantization: token ids of what the model usually reads."""

from __future__ import annotations

import json
import random
from typing import Any

from poise.artifacts.task import Task


def calibration_rows(task: Task, tokenizer: Any) -> list[list[int]]:
    options = task.spec.options
    source = task.inputs["data.calibration"]
    file = source / "train.jsonl" if source.is_dir() else source
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    chosen = random.Random(options.seed).sample(rows, min(options.samples, len(rows)))
    rendered = [tokenizer.apply_chat_template(row["messages"], return_dict=True)["input_ids"] for row in chosen]
    return [tokens[: options.max_length] for tokens in rendered]
