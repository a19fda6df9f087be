"""Do training jobs in this process: a JSON list of jobs on standard input, what came of each as the last line out.

A job is `{"spec": {...}, "work": FOLDER}` and may have `inputs` beside the builtin ones, `stop` (the step after which
a stop is asked for) and `resume` (go on from the checkpoint that the work folder holds).
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import torch

from poise import builtin
from poise.artifacts.task import Task
from poise.errors import PoiseError
from poise.specs import METHOD_SPECS


class Job:
    """One task and what it reports."""

    def __init__(self, job: dict[str, Any]) -> None:
        self.work = Path(job["work"])
        (self.work / "artifact").mkdir(parents=True, exist_ok=True)
        self.stop = job.get("stop")
        self.resume = job.get("resume", False)
        self.spec = METHOD_SPECS[job["spec"]["method"]].model_validate(job["spec"])
        sums = builtin.path("sums")
        self.inputs = {"base": builtin.path("tiny"), "data.train": sums, "data.eval": sums}
        self.inputs |= {name: Path(path) for name, path in job.get("inputs", {}).items()}
        self.steps: list[tuple[int, dict[str, float]]] = []
        self.checkpoints: list[str] = []

    def on_step(self, step: int, metrics: dict[str, float]) -> None:
        self.steps.append((step, metrics))

    def save_checkpoint(self, step: int, folder: Path) -> None:
        self.checkpoints.append(str(folder))

    def restore_checkpoint(self) -> Path | None:
        return max((self.work / "checkpoints").glob("checkpoint-*"), key=_number) if self.resume else None

    def stop_requested(self) -> bool:
        return len(self.steps) + 1 == self.stop

    def run(self) -> dict[str, Any]:
        task = Task(
            spec=self.spec,
            inputs=self.inputs,
            workdir=self.work,
            on_step=self.on_step,
            save_checkpoint=self.save_checkpoint,
            restore_checkpoint=self.restore_checkpoint,
            stop_requested=self.stop_requested,
            progress=lambda what, done, of: None,
        )
        outcome: dict[str, Any] = {"output": str(task.output), "error": None, "result": None}
        try:
            result = importlib.import_module(f"poise.train.{self.spec.method}").run(task)
            outcome["result"] = {"kind": result.kind, "rank": result.rank, "metrics": result.metrics}
        except PoiseError as error:
            outcome["error"] = [error.reason, str(error)]
        return outcome | {"steps": self.steps, "checkpoints": self.checkpoints}


def _number(folder: Path) -> int:
    return int(folder.name.rpartition("-")[2])


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("\n" + json.dumps([Job(job).run() for job in json.load(sys.stdin)]))
