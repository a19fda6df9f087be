"""The method `grpo`: group-relative policy optimization against rewards (arXiv 2402.03300)."""

from __future__ import annotations

from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from poise.artifacts.task import Result, Task
from poise.data import Renderer, prompts, read_rows
from poise.errors import DataError
from poise.evaluate.held_out import HeldOut
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


def prompt_rows(task: Task) -> Dataset:
    """The prompts as conversations, with every other column beside them for the rewards."""
    spec: GrpoSpec = task.spec
    rows = prompts(read_rows(task.inputs["data.train"], spec.data.train, spec.data.columns))
    Renderer(task.inputs["base"]).prompt(rows[0].messages, rows[0].where)
    columns = set(rows[0].extra)
    for row in rows:
        if set(row.extra) != columns:
            odd = ", ".join(sorted(set(row.extra) ^ columns))
            raise DataError(
                f"{row.where}: has other columns than the first row: {odd}", advice="give all rows the same"
            )
    return Dataset.from_list([{"prompt": row.messages, **row.extra} for row in rows])
