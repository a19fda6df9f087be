"""What is asked of a machine: GPUs, and environments that are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from poise import environments
from poise.errors import MachineError, NotFound


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The one folder that programs are looked for in."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def install(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_a_machine_without_a_driver_has_no_gpu(programs: Path) -> None:
    assert environments.gpu_count() == 0
    assert environments.detected_variant() == "cpu"


def test_gpus_are_those_the_driver_lists(programs: Path) -> None:
    install(programs, "nvidia-smi", "echo 'GPU 0: NVIDIA A10 (UUID: GPU-1)'; echo 'GPU 1: NVIDIA A10 (UUID: GPU-2)'")
    assert environments.gpu_count() == 2
    assert environments.detected_variant() == "cuda"


def test_a_driver_that_does_not_answer_lists_no_gpu(programs: Path) -> None:
    install(programs, "nvidia-smi", "echo 'NVIDIA-SMI has failed: no GPU is found'; exit 9")
    assert environments.gpu_count() == 0


def test_a_missing_environment_is_an_error_that_tells_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(MachineError, match="poise env sync serve"):
        environments.python("serve", tmp_path)


def test_an_unknown_environment_is_an_error_that_lists_the_known(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="train, quantize, serve"):
        environments.python("training", tmp_path)
