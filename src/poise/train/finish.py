"""What every training method does at its end: the adapter, its check, its probe and its evaluation."""

from __future__ import annotations

import math
from typing import Any

from poise.artifacts.task import Result, Task
from poise.data.evaluation import Measured, write_evaluation
from poise.evaluate.held_out import HeldOut
from poise.train.model import save_adapter
from poise.weights.check import check_adapter
from poise.weights.probe import write_probe


def finish(trainer: Any, task: Task, held_out: HeldOut | None, before: Measured | None) -> Result:
    """Write the adapter, its probe and its evaluation; raises `DataError` where the adapter does not fit its base."""
    model, output = trainer.model, task.output
    save_adapter(model, output)
    rank = check_adapter(output, task.inputs["base"])
    write_probe(model, trainer.processing_class, output)
    metrics: dict[str, float] = {}
    if held_out is not None:
        after = held_out.measure(model)
        write_evaluation(output, held_out.asked, before, after)
        metrics = {"eval/accuracy": after.accuracy}
        if math.isfinite(after.logprob):
            metrics["eval/logprob"] = after.logprob
    return Result("adapter", metrics, rank=rank)
