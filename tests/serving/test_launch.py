from __future__ import annotations

import json
import signal
import socket
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from poise import builtin
from poise.errors import MachineError, UserError, WorkerFailed
from poise.serving.launch import Deployment, Options
from poise.serving.plan import plan

STAND_IN = Path(__file__).with_name("stand_in.py")


@pytest.fixture
def python(tmp_path: Path) -> Path:
    """Takes vLLM's command line and starts the stand-in instead."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {STAND_IN} "$@"\n')
    script.chmod(0o755)
    return script


@pytest.fixture
def deploy(publisher, python: Path, tmp_path: Path):
    """A deployment of one adapter and one version of full weights, not started yet."""

    def make(weights: str = "merged", **options: object) -> Deployment:
        versions = [publisher.adapter("sums"), publisher.folder(weights, builtin.path("tiny"), kind="weights", base="")]
        chosen = Options(**{"open_to_all": True, **options})
        return Deployment(tmp_path / "home", python, publisher.store, plan(versions), chosen)

    return make


def processes(folder: Path) -> list[int]:
    """The processes that the servers' logs tell of."""
    lines = [line for log in folder.glob("*.log") for line in log.read_text().splitlines() if line.startswith("PIDS")]
    return [int(word) for line in lines for word in line.split()[1:3]]


def all_gone(pids: list[int]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids):
            return True
        time.sleep(0.02)
    return False


def test_the_gateway_leads_to_each_server_and_all_end_with_the_context(deploy) -> None:
    with deploy() as deployment, httpx.Client(base_url=deployment.url, trust_env=False) as http:
        listed = {model["id"] for model in http.get("/v1/models").json()["data"]}
        assert {"tiny", "sums@1", "merged@1"} <= listed
        asked = ["tiny", "sums@1", "merged@1"]
        replies = [http.post("/v1/completions", json={"model": name, "prompt": "x"}).json() for name in asked]
        assert [reply["model"] for reply in replies] == asked
        assert replies[0]["port"] == replies[1]["port"] != replies[2]["port"]
        started = processes(deployment.folder)
        assert len(started) == 4
        assert (deployment.folder / "adapters" / "tiny").is_dir()
    assert all_gone(started)
    assert not (deployment.folder / "adapters").exists()
    with pytest.raises(httpx.TransportError):
        httpx.get(f"{deployment.url}/healthz", trust_env=False)


def test_the_servers_file_names_base_and_version(deploy, publisher) -> None:
    with deploy() as deployment:
        base, weights = json.loads((deployment.folder / "servers.json").read_text())["servers"]
    assert (base["base"], base["adapters"]) == (publisher.base, True)
    assert weights["version"] == weights["name"] == "merged@1"


def test_a_server_that_dies_ends_the_watch_by_name(deploy) -> None:
    with deploy() as deployment:
        victim, engine, *_ = processes(deployment.folder)
        psutil.Process(victim).send_signal(signal.SIGKILL)
        with pytest.raises(WorkerFailed, match=r"the server (tiny|merged@1) ended with exit code -9"):
            deployment.watch()
        others = processes(deployment.folder)
    assert all_gone([*others, engine])


def test_a_server_that_cannot_start_takes_the_others_with_it(deploy) -> None:
    deployment = deploy(weights="broken")
    with pytest.raises(WorkerFailed, match="this model cannot be served"), deployment:
        pytest.fail("it started")
    assert all_gone(processes(deployment.folder))


def test_without_a_key_nothing_starts(deploy) -> None:
    deployment = deploy(open_to_all=False)
    with pytest.raises(UserError, match="there is no API key"), deployment:
        pytest.fail("it started")
    assert processes(deployment.folder) == []


def test_a_port_that_is_taken_is_refused_before_anything_starts(deploy) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(MachineError, match="cannot listen"):
            deploy(port=other.getsockname()[1])
