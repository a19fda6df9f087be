"""The method `grpo`: group-relative policy optimization against rewards (arXiv 2402.03300)."""

from __future__ import annotations

from datasets import Dataset
from pyarrow import ArrowException
from trl import GRPOConfig, GRPOTrainer

from poise.artifacts.task import Result, Task
from poise.data import prompts, read_rows
from poise.errors import DataError
from poise.evaluate.held_out import HeldOut
from poise.evaluate.rendering import renderer
from poise.specs import GrpoSpec
from poise.train import options
from poise.train.callbacks import TaskCallback, train
from poise.train.finish import finish
from poise.train.model import start
from poise.train.rewards import load_rewards


def run(task: Task) -> Result:
    """Train a LoRA adapter on prompts; raises `DataError` for rows that have no prompt or lack a reward's column."""
    spec: GrpoSpec = task.spec
    dataset = prompt_rows(task)
    rewards = load_rewards(spec.rewards, task.inputs, set(dataset.column_names))
    held_out = HeldOut.read(task)
    begin = start(task)
    trainer = GRPOTrainer(
        model=begin.model,
        reward_funcs=rewards,
        args=GRPOConfig(**options.grpo(task)),
        train_dataset=dataset,
        processing_class=begin.tokenizer,
        peft_config=begin.peft_config,
        callbacks=[TaskCallback(task)],
    )
    before = held_out and held_out.measure(trainer.model)
    train(trainer, task)
    return finish(trainer, task, held_out, before)


# What TRL itself passes to reward functions, or takes for a sign of images.
_RESERVED = {"prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric", "image", "images"}


def prompt_rows(task: Task) -> Dataset:
    """The prompts as conversations, with every other column beside them for the rewards."""
    spec: GrpoSpec = task.spec
    rows = prompts(read_rows(task.inputs["data.train"], spec.data.train, spec.data.columns))
    renderer(task.inputs["base"]).prompt(rows[0].messages, rows[0].where)
    columns = set(rows[0].extra)
    if taken := sorted(columns & _RESERVED):
        raise DataError(f"{rows[0].where}: no column may be called {taken[0]!r} here", advice="rename it")
    for row in rows:
        if set(row.extra) != columns:
            odd = ", ".join(sorted(set(row.extra) ^ columns))
            raise DataError(
                f"{row.where}: has other columns than the first row: {odd}", advice="give all rows the same"
            )
    try:
        return Dataset.from_list([{"prompt": row.messages, **row.extra} for row in rows])
    except ArrowException as error:
        raise DataError(
            f"{spec.data.train}: a column holds values of several types: {error}",
            advice="write each column's values as one type, for example all answers as text",
        ) from error
