"""The bridge from a TRL trainer to a task: metrics in one vocabulary, checkpoints, and stopping when asked."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from poise.artifacts.task import Task
from poise.errors import GuardFired, Interrupted

# TRL's key -> ours; every other key is kept under trl/.
_VOCABULARY = {
    "loss": "loss",
    "grad_norm": "grad_norm",
    "learning_rate": "learning_rate",
    "epoch": "epoch",
    "entropy": "entropy",
    "kl": "kl",
    "mean_token_accuracy": "accuracy",
    "reward": "reward/mean",
    "reward_std": "reward/std",
    "clip_ratio/region_mean": "clip_fraction",
    "completions/mean_length": "length/mean",
    "completions/min_length": "length/min",
    "completions/max_length": "length/max",
    "completions/clipped_ratio": "length/cut_off",
    "frac_reward_zero_std": "reward/groups_without_signal",
}


def vocabulary(logs: dict[str, Any]) -> dict[str, float]:
    """TRL's metrics of one step under Poise's names."""
    named: dict[str, float] = {}
    for key, value in logs.items():
        # JSON has no word for what is not finite, as the first gradient norms of fp16 may be; the loss is judged below.
        if not isinstance(value, int | float) or (key != "loss" and not math.isfinite(value)):
            continue
        if key.startswith("rewards/") and key.endswith("/mean"):
            named[f"reward/by/{key.removeprefix('rewards/').removesuffix('/mean')}"] = float(value)
        else:
            named[_VOCABULARY.get(key, f"trl/{key}")] = float(value)
    return named


class TaskCallback(TrainerCallback):
    """Reports each step, stores each checkpoint, and stops the trainer when the task is asked to stop."""

    def __init__(self, task: Task) -> None:
        self._task = task

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self._task.progress("train", state.global_step, state.max_steps)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self._task.stop_requested():
            control.should_save = True
            control.should_training_stop = True

    def on_log(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, Any], **_: Any
    ) -> None:
        if "loss" not in logs:  # the summary at the end of training
            return
        metrics = vocabulary(logs)
        if not math.isfinite(metrics["loss"]):
            raise GuardFired(
                f"the loss is {metrics['loss']} at step {state.global_step}",
                advice="lower options.learning_rate; with fp16, use a GPU that has bf16",
            )
        self._task.on_step(state.global_step, metrics)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        self._task.save_checkpoint(state.global_step, folder)


def train(trainer: Any, task: Task) -> None:
    """Train from the newest checkpoint, or from the start; raises `Interrupted` when asked to stop before the end."""
    # What it would print of each step stands in the metrics already.
    trainer.remove_callback(PrinterCallback)
    checkpoint = task.restore_checkpoint()
    trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    if trainer.state.global_step < trainer.state.max_steps:
        raise Interrupted(
            f"stopped after step {trainer.state.global_step} of {trainer.state.max_steps}; a checkpoint was saved",
            advice="run the same file again to go on from there",
        )
