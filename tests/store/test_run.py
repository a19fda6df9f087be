"""A run whose store is an S3 bucket, and goes away in the middle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from poise.runs import record
from poise.runs.metrics import read_metrics
from poise.store import open_store

from .relay import Relay


def test_a_run_whose_store_goes_away_says_so_and_goes_on_from_its_checkpoint_later(
    url: str, relay: Relay, environment: dict[str, str], write: Callable[..., Path]
) -> None:
    file = write(max_steps=200, save_steps=5)
    reached = environment | {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    command = [sys.executable, "-m", "poise.cli", "run", str(file), "--json"]
    extra = {"POISE_STORE": url, "POISE_STORE_PATIENCE": "3"}
    with subprocess.Popen(command, env=reached | extra, stdout=subprocess.PIPE, text=True) as process:
        logs = Path(environment["POISE_HOME"]) / "logs"
        while not any('"step": 12,' in path.read_text() for path in logs.glob("*.log")):
            assert process.poll() is None
            time.sleep(0.02)
        relay.switch_off()
        output, _ = process.communicate(timeout=120)
    assert process.returncode == 75
    assert json.loads(output)["error"]["reason"] == "StoreUnavailable"

    relay.switch_on()
    store = open_store(url)
    run = record.find_run(store, "tune")
    assert store.list("artifacts") == []
    done = subprocess.run(command, env=reached | extra, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    (outcome,) = json.loads(done.stdout)
    assert (outcome["run"], outcome["published"]) == (run, "sums@1")
    assert [row["step"] for row in read_metrics(store, run)] == list(range(1, 201))
