"""A Poise home of its own for each test, with the environments that `make test` has made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from poise.settings import Settings
from poise.store import Store, open_store

ROOT = Path(__file__).parents[1]
Poise = Callable[..., subprocess.CompletedProcess[str]]

SFT = {
    "apiVersion": "poise.dev/v1alpha1",
    "kind": "Run",
    "metadata": {"name": "tune"},
    "spec": {
        "method": "sft",
        "base": "builtin:tiny",
        "data": {"train": "builtin:sums?split=train"},
        "adapter": {"rank": 4},
        "options": {"learning_rate": 1e-3, "max_steps": 6, "per_device_train_batch_size": 16, "save_steps": 2},
        "publish": {"model": "sums"},
    },
}


@pytest.fixture(scope="session")
def environments_home() -> Path:
    """The home whose environments `make test` has made."""
    return Settings.from_environment(
        {**os.environ, "POISE_HOME": os.environ.get("POISE_HOME", str(ROOT / ".poise"))}
    ).home


@pytest.fixture
def home(tmp_path: Path, environments_home: Path) -> Path:
    """An empty home with those environments."""
    made = tmp_path / "home"
    made.mkdir()
    (made / "envs").symlink_to(environments_home / "envs")
    return made


@pytest.fixture
def store(home: Path) -> Store:
    """The store of `home`."""
    return open_store(str(home / "store"))


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    """The environment of a `poise` command that works in `home`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("POISE_", "AWS_"))}
    return {**kept, "POISE_HOME": str(home), "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}


@pytest.fixture
def poise(environment: dict[str, str], tmp_path: Path) -> Poise:
    """Run a `poise` command as a process, as a user would."""

    def run(*arguments: object, timeout: float = 300, **extra: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "poise.cli", *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment | extra, capture_output=True, text=True, timeout=timeout, check=False
        )

    return run


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write a run file: the short SFT above with fields changed, as in `write(max_steps=3)` or `write(spec={...})`."""

    def run_file(name: str = "tune", spec: dict[str, Any] | None = None, **options: object) -> Path:
        document = json.loads(json.dumps(SFT))
        document["metadata"]["name"] = name
        document["spec"].update(spec or {})
        document["spec"].setdefault("options", {}).update(options)
        path = tmp_path / f"{name}.yaml"
        path.write_text(json.dumps(document))
        return path

    return run_file
