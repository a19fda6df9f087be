"""Real merges and quantizations of the builtin model, in the environments that have the libraries for them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from poise import builtin, environments

HERE = Path(__file__).parent
Case = dict[str, Any]
RunTasks = Callable[[str, list[Case]], list[Any]]


@pytest.fixture(scope="session")
def tiny() -> Path:
    return builtin.path("tiny")


@pytest.fixture(scope="session")
def run_script(environments_home: Path) -> Callable[..., Any]:
    """Run a script of this folder in an environment; returns what its last line says."""

    def run(environment: str, script: str, *arguments: object, stdin: str = "") -> Any:
        done = subprocess.run(
            [environments.python(environment, environments_home), HERE / script, *map(str, arguments)],
            input=stdin,
            env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="session")
def run_tasks(run_script: Callable[..., Any]) -> RunTasks:
    """Run several tasks in one process; returns their results or errors."""

    def run(environment: str, cases: list[Case]) -> list[Any]:
        outcomes: list[Any] = run_script(environment, "tasks.py", stdin=json.dumps(cases))
        return outcomes

    return run


@pytest.fixture(scope="session")
def adapter_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("adapters")


@pytest.fixture(scope="session")
def adapters(run_script: Callable[..., Any], tiny: Path, adapter_folder: Path) -> dict[str, Any]:
    """What `make_adapters.py` says of the adapters that it has left in `adapter_folder`."""
    made: dict[str, Any] = run_script("train", "make_adapters.py", tiny, adapter_folder)
    return made
