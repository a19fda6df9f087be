"""From a spec to TRL's config class: our fields under TRL's names, and what Poise itself decides."""

from __future__ import annotations

from typing import Any

from poise.artifacts.task import Task
from poise.specs import GrpoSpec, SftSpec, TrainingSpec
from poise.train.model import model_init_kwargs, precision


def common(task: Task) -> dict[str, Any]:
    """Arguments that every TRL config takes."""
    spec: TrainingSpec = task.spec
    options: dict[str, Any] = spec.options.model_dump(exclude={"completion_only"})  # type: ignore[attr-defined]
    options["max_steps"] = options["max_steps"] or -1
    chosen = precision(spec)
    kwargs = {} if "adapter" in task.inputs else {"model_init_kwargs": model_init_kwargs(spec)}
    return {
        **options,
        **kwargs,
        "output_dir": str(task.workdir / "checkpoints"),
        "bf16": chosen == "bf16",
        "fp16": chosen == "fp16",
        "use_cpu": spec.resources.gpus == 0,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_total_limit": 1,
        "report_to": "none",
        "disable_tqdm": True,
        **spec.trl,  # type: ignore[attr-defined]
    }


def sft(task: Task) -> dict[str, Any]:
    """Arguments of `SFTConfig`; rows come rendered, so loss masks are no business of TRL's."""
    spec: SftSpec = task.spec
    return {**common(task), "max_length": spec.options.max_length, "packing": spec.options.packing}


def grpo(task: Task) -> dict[str, Any]:
    """Arguments of `GRPOConfig`."""
    spec: GrpoSpec = task.spec
    return {**common(task), "reward_weights": [reward.weight for reward in spec.rewards]}
