"""SIGKILL at random moments of training, upload, merge and publication: nothing half-visible, and it goes on."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from poise.artifacts import aliases, registry, transfer
from poise.artifacts.manifest import Manifest
from poise.runs import checkpoints, record
from poise.runs.metrics import read_metrics
from poise.specs import digest
from poise.store import Store

KILLS = 21
SEED = 42
SUMS = "builtin:sums?split=train"


def pipeline(folder: Path, seed: int) -> Path:
    """Train with a checkpoint every third step, merge, publish both."""
    options = {"learning_rate": 1e-3, "max_steps": 30, "per_device_train_batch_size": 16, "save_steps": 3, "seed": seed}
    tune = {
        "method": "sft",
        "base": "builtin:tiny",
        "data": {"train": SUMS},
        "adapter": {"rank": 4},
        "options": options,
    }
    steps: list[dict[str, Any]] = [
        {"name": "tune", "spec": {**tune, "publish": {"model": "sums"}}},
        {"name": "whole", "spec": {"method": "merge", "base": "step:tune", "publish": {"model": "whole"}}},
    ]
    file = folder / "pipeline.yaml"
    document = {
        "apiVersion": "poise.dev/v1alpha1",
        "kind": "Pipeline",
        "metadata": {"name": "k"},
        "spec": {"steps": steps},
    }
    file.write_text(json.dumps(document))
    return file


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL the runner and every worker of it at the same moment."""
    try:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    process.wait()


def check_whole(store: Store) -> None:
    """Whatever a reader can see is complete and has the digests it claims."""
    for entry in store.list("artifacts"):
        identifier, _, path = entry.key.removeprefix("artifacts/").partition("/")
        if path == transfer.MANIFEST:
            check_files(store, f"artifacts/{identifier}", transfer.read_manifest(store, identifier))
    for name in registry.names(store):
        for item in registry.versions(store, name):
            assert transfer.read_manifest(store, item.version.artifact).id == item.version.artifact
    for alias in aliases.all_aliases(store).values():
        for target in alias.targets:
            registry.get(store, target.version)
    for run in record.all_runs(store):
        record.read_resolved(store, run)
        record.read_status(store, run)
        for step in checkpoints.steps(store, run):
            prefix = f"runs/{run}/checkpoints/{step}"
            data = store.get(f"{prefix}/{transfer.MANIFEST}")
            check_files(store, prefix, Manifest.from_bytes(data, digest(data)))
        assert [row["step"] for row in read_metrics(store, run)] == sorted(
            {row["step"] for row in read_metrics(store, run)}
        )


def check_files(store: Store, prefix: str, manifest: Manifest) -> None:
    for file in manifest.files:
        assert digest(store.get(f"{prefix}/{file.path}")) == file.sha256, f"{prefix}/{file.path}"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_random_moments_a_pipeline_leaves_nothing_half_visible_and_ends_as_if_never_killed(
    poise: Callable[..., subprocess.CompletedProcess[str]], environment: dict[str, str], tmp_path: Path, store: Store
) -> None:
    file = pipeline(tmp_path, SEED)
    began = time.monotonic()
    undisturbed = tmp_path / "undisturbed"
    reference = poise("run", file, "--json", POISE_STORE=str(undisturbed))
    assert reference.returncode == 0, reference.stderr
    duration = time.monotonic() - began

    rng = random.Random(7)
    kills = rounds = 0
    while kills < KILLS:
        command = [sys.executable, "-m", "poise.cli", "run", str(file)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(rng.uniform(0.2, duration))
        except subprocess.TimeoutExpired:
            kill_all(process)
            kills += 1
        check_whole(store)
        if process.returncode == 0 and kills < KILLS - 3:
            rounds += 1  # it came through: begin again with another seed, in the same store
            file = pipeline(tmp_path, SEED + rounds)

    for run in record.all_runs(store):
        poise("cancel", run)
    file = pipeline(tmp_path, SEED)
    done = poise("run", file, "--json")
    assert done.returncode == 0, done.stderr
    check_whole(store)
    ours, theirs = json.loads(done.stdout), json.loads(reference.stdout)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine["published"].partition("@")[0] == other["published"].partition("@")[0]
    assert ours[0]["metrics"]["loss"] == pytest.approx(theirs[0]["metrics"]["loss"], abs=1e-6)
