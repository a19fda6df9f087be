"""The registry of methods: what runs, in which environment. Listing it needs no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """A function `module:name` that takes a `Task` and returns a `Result`, and the environment it runs in.

    The stages of one method run one after the other in one working folder; the last one's result counts. A resumable
    stage saves checkpoints, and one more when it is asked to stop.
    """

    entry_point: str
    environment: str
    resumable: bool = False


METHODS: dict[str, tuple[Stage, ...]] = {
    "sft": (Stage("poise.train.sft:run", "train", resumable=True),),
    "grpo": (Stage("poise.train.grpo:run", "train", resumable=True),),
    "merge": (Stage("poise.weights.merge:run", "train"),),
    "quantize": (
        Stage("poise.weights.quantize:run", "quantize"),
        Stage("poise.serving.probe:run", "serve"),
    ),
}
