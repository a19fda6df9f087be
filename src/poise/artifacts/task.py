"""What a method is given (`Task`) and what it hands back (`Result`): the seam between worker and methods."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Kind = Literal["adapter", "weights", "reward"]


@dataclass(frozen=True)
class Task:
    """One method's work on one machine, with every input already local and checked.

    Attributes:
        spec: the method's validated class from `poise.specs`.
        inputs: local files and folders by name: `base` (full weights), `adapter` (only where the spec's base
            was an adapter), `data.train`, `data.eval`.
        workdir: scratch space, kept between attempts and between the stages of one method.
        on_step: takes an optimizer step's number and its metrics, once a step.
        save_checkpoint: stores a folder as the checkpoint of a step.
        restore_checkpoint: downloads the newest whole checkpoint, or returns None.
        stop_requested: true after SIGTERM: save a checkpoint and raise `Interrupted`.
        progress: takes (what, done, of) of anything long that has no optimizer steps.
    """

    spec: Any
    inputs: Mapping[str, Path]
    workdir: Path
    on_step: Callable[[int, dict[str, float]], None]
    save_checkpoint: Callable[[int, Path], None]
    restore_checkpoint: Callable[[], Path | None]
    stop_requested: Callable[[], bool]
    progress: Callable[[str, int, int], None]

    @property
    def output(self) -> Path:
        """The folder whose files become the artifact."""
        return self.workdir / "artifact"


@dataclass(frozen=True)
class Result:
    """What was made; the files themselves stand in `Task.output`.

    Attributes:
        rank: the largest LoRA rank of an adapter; None for weights.
    """

    kind: Kind
    metrics: dict[str, float] = field(default_factory=dict)
    quantization: str | None = None
    rank: int | None = None
