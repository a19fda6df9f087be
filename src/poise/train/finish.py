"""What every training method does before and after: held-out measurement, the adapter, its check and its probe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from poise.artifacts.task import Result, Task
from poise.data import Question, Renderer, answer_room, questions, read_rows
from poise.data.evaluation import Measured, write_evaluation
from poise.evaluate.held_out import measure
from poise.train.model import save_adapter
from poise.weights.check import check_adapter
from poise.weights.probe import write_probe


@dataclass(frozen=True)
class HeldOut:
    """The held-out questions of a task, and how a model of its base is asked them."""

    asked: list[Question]
    renderer: Renderer
    room: int

    @classmethod
    def read(cls, task: Task) -> HeldOut | None:
        """None where the spec names no held-out rows. Read before training, so that a bad row is found at once."""
        data = task.spec.data
        if data is None or data.eval is None:
            return None
        asked = questions(read_rows(task.inputs["data.eval"], data.eval, data.columns))
        renderer = Renderer(task.inputs["base"])
        return cls(asked, renderer, answer_room(asked, renderer))

    def measure(self, model: Any) -> Measured:
        return measure(model, self.renderer, self.asked, self.room)


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
        metrics = {"eval/accuracy": after.accuracy, "eval/logprob": after.logprob}
    return Result("adapter", metrics, rank=rank)
