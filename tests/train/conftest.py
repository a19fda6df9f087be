"""Training in the environment `train`: a list of jobs goes to one process there, and what came of each comes back."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Outcomes = list[dict[str, Any]]
Train = Callable[..., Outcomes]

DATA = {"train": "builtin:sums?split=train", "eval": "builtin:sums?split=test"}


@pytest.fixture(scope="session")
def in_environment(environments_home: Path) -> Callable[..., Any]:
    """Run one of the scripts beside this file in the environment `train`: JSON in, JSON out."""

    def run(script: str, given: Any = None) -> Any:
        python = environments_home / "envs" / "train" / "bin" / "python"
        done = subprocess.run(
            [python, Path(__file__).with_name(script)],
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            input=json.dumps(given),
            capture_output=True,
            text=True,
            timeout=500,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.rsplit("\n", 2)[-2])

    return run


@pytest.fixture(scope="session")
def train(in_environment: Callable[..., Any]) -> Train:
    """Do jobs (see `jobs.py`) in one process, one after the other."""

    def jobs(*listed: dict[str, Any]) -> Outcomes:
        outcomes: Outcomes = in_environment("jobs.py", listed)
        return outcomes

    return jobs


@pytest.fixture(scope="session")
def sft() -> Callable[..., dict[str, Any]]:
    """A short SFT spec, with options changed."""

    def spec(data: dict[str, Any] | None = None, trl: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        return {
            "method": "sft",
            "base": "builtin:tiny",
            "data": data or {"train": DATA["train"]},
            "adapter": {"rank": 4, "dropout": 0.1},
            "options": {"learning_rate": 1e-3, "max_steps": 6, "per_device_train_batch_size": 16} | options,
            "trl": trl or {},
        }

    return spec


@pytest.fixture(scope="session")
def grpo() -> Callable[..., dict[str, Any]]:
    """A short GRPO spec, with rewards or options changed."""

    def spec(rewards: list[dict[str, Any]] | None = None, **options: Any) -> dict[str, Any]:
        few = {"max_steps": 5, "per_device_train_batch_size": 32, "num_generations": 4, "max_completion_length": 8}
        return {
            "method": "grpo",
            "base": "builtin:tiny",
            "data": {"train": DATA["train"]},
            "adapter": {"rank": 4},
            "rewards": rewards or [{"use": "exact_number"}, {"use": "brevity", "weight": 0.2, "length": 4}],
            "options": {"learning_rate": 1e-3, "temperature": 1.1} | few | options,
        }

    return spec
