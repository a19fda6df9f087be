"""The method `sft`: supervised fine-tuning on what the assistant says."""

from __future__ import annotations

from datasets import Dataset
from trl import SFTConfig, SFTTrainer

from poise.artifacts.task import Result, Task
from poise.data import conversations, read_rows
from poise.errors import DataError
from poise.evaluate.held_out import HeldOut
from poise.evaluate.rendering import renderer
from poise.specs import SftSpec
from poise.train import options
from poise.train.callbacks import TaskCallback, train
from poise.train.finish import finish
from poise.train.model import start


def run(task: Task) -> Result:
    """Train a LoRA adapter on conversations; raises `DataError` for rows that cannot be learned from."""
    dataset = rendered(task)
    held_out = HeldOut.read(task)
    begin = start(task)
    trainer = SFTTrainer(
        model=begin.model,
        args=SFTConfig(**options.sft(task)),
        train_dataset=dataset,
        processing_class=begin.tokenizer,
        peft_config=begin.peft_config,
        callbacks=[TaskCallback(task)],
    )
    before = held_out and held_out.measure(trainer.model)
    train(trainer, task)
    return finish(trainer, task, held_out, before)


def rendered(task: Task) -> Dataset:
    """Token ids and labels of every row, cut to `max_length`; labels are -100 where nothing is learned.

    The same rendering serves previews and checks, so what is shown is what is trained.
    """
    spec: SftSpec = task.spec
    rows = conversations(read_rows(task.inputs["data.train"], spec.data.train, spec.data.columns))
    rendering = renderer(task.inputs["base"])
    tokens, labels = [], []
    for row in rows:
        made = rendering.conversation(row, completion_only=spec.options.completion_only)
        ids, mask = made.tokens[: spec.options.max_length], made.mask[: spec.options.max_length]
        if any(mask):
            tokens.append(ids)
            labels.append([token if learned else -100 for token, learned in zip(ids, mask, strict=True)])
    if not tokens:
        raise DataError(
            f"nothing is left to learn: all {len(rows)} rows are longer than {spec.options.max_length} tokens "
            "before the assistant speaks",
            advice="raise options.max_length",
        )
    if len(tokens) < len(rows):
        print(f"left out {len(rows) - len(tokens)} of {len(rows)} rows: cut before the assistant speaks", flush=True)
    return Dataset.from_dict({"input_ids": tokens, "labels": labels})
