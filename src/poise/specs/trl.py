"""Check a file's `trl:` block, by name and type, against the fields of the pinned TRL, without importing it."""

from __future__ import annotations

import json
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from poise.specs.base import FieldError

# TRL's name -> where this setting stands in a Poise file. Everything under `options` keeps TRL's own name.
_OURS = {
    "fp16": "load.precision",
    "bf16": "load.precision",
    "model_init_kwargs": "load",
    "use_cpu": "resources.gpus",
    "assistant_only_loss": "options.completion_only",
    "completion_only_loss": "options.completion_only",
    "reward_weights": "rewards[].weight",
    "run_name": "metadata.name",
    "max_seq_length": "options.max_length",
    "max_prompt_length": "options.max_completion_length (prompts are not cut any more)",
    "tokenizer": "base",
    "processing_class": "base",
    "torch_dtype": "load.precision",
    "warmup_ratio": "options.warmup_steps",
    "evaluation_strategy": "data.eval",
    "peft_config": "adapter",
}
_OPTIONS = {
    "learning_rate", "lr_scheduler_type", "warmup_steps", "max_steps", "num_train_epochs", "weight_decay", "seed",
    "per_device_train_batch_size", "gradient_accumulation_steps", "max_grad_norm", "gradient_checkpointing",
    "save_steps", "max_length", "packing", "num_generations", "max_completion_length", "temperature", "beta",
    "loss_type",
}  # fmt: skip
_MANAGED = {
    "output_dir", "report_to", "logging_dir", "logging_steps", "logging_strategy", "logging_first_step",
    "save_strategy", "save_total_limit", "save_only_model", "resume_from_checkpoint", "disable_tqdm", "do_train",
    "do_eval", "do_predict", "eval_strategy", "eval_steps", "eval_on_start", "load_best_model_at_end", "local_rank",
    "push_to_hub", "hub_model_id", "hub_strategy", "hub_token", "hub_private_repo", "hub_always_push", "hub_revision",
    "trust_remote_code", "remove_unused_columns", "log_completions_hub_repo",
}  # fmt: skip


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(Path(__file__).with_name("trl.json").read_text())
    return table


def check_passthrough(config: str, given: dict[str, Any]) -> dict[str, Any]:
    """Return `given`, or raise for its first entry that TRL's class `config` would not take from a file."""
    known: dict[str, str] = _table()[config]
    for name, value in given.items():
        options = _OPTIONS & set(known) if name in known else _OPTIONS
        if place := _OURS.get(name) or (f"options.{name}" if name in options else None):
            raise FieldError(name, f"is set by {place} in this file")
        if name in _MANAGED:
            raise FieldError(name, "is managed by Poise and cannot be set")
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise FieldError(name, f"is no field of {config} in TRL {_table()['version']}{hint}")
        if kinds := known[name]:
            _check_type(name, value, kinds.split("|"))
    return given


def _check_type(name: str, value: Any, kinds: list[str]) -> None:
    actual = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    kind = actual[type(value)]
    if kind not in kinds and not (kind == "integer" and "number" in kinds):
        raise FieldError(name, f"takes {' or '.join(kinds)}, not {kind}")
