"""Held-out questions give the same answers and log-probabilities in batches as one by one."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def measured(environments_home: Path) -> dict[str, Any]:
    python = environments_home / "envs" / "train" / "bin" / "python"
    done = subprocess.run(
        [python, Path(__file__).with_name("measure.py")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_answers_in_batches_are_those_given_alone(measured: dict[str, Any]) -> None:
    assert len(measured["answers"]) == 88
    assert measured["answers"] == measured["alone"]


def test_accuracy_is_the_share_of_right_answers(measured: dict[str, Any]) -> None:
    right = [
        answer.rstrip(".").split()[-1] == expected
        for answer, expected in zip(measured["answers"], measured["expected"], strict=True)
    ]
    assert measured["accuracy"] == pytest.approx(sum(right) / 88)
    assert 0.2 < measured["accuracy"] < 0.4


def test_the_log_probability_is_the_mean_over_the_tokens_of_the_references(measured: dict[str, Any]) -> None:
    assert measured["logprob"] == pytest.approx(measured["alone_logprob"], abs=1e-4)


def test_without_references_there_is_no_log_probability(measured: dict[str, Any]) -> None:
    assert measured["without_references"]["logprob"] is None


def test_answers_stop_where_there_is_no_room(measured: dict[str, Any]) -> None:
    assert measured["cut"] == [answer.removesuffix(".") for answer in measured["answers"][:2]]


def test_training_mode_is_left_as_it_was(measured: dict[str, Any]) -> None:
    assert measured["training"] is True
