from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from poise.serving import process
from poise.serving.process import Child

IGNORES_SIGTERM = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
engine = subprocess.Popen([sys.executable, "-c", code])
print("ready", os.getpid(), engine.pid, flush=True)
time.sleep(60)
"""
STOPS_ON_SIGTERM = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (print("draining", flush=True), sys.exit(0)))
print("ready", flush=True)
time.sleep(60)
"""
STARTS_A_CHILD = """
import sys, time
from pathlib import Path
from poise.serving import process
code = "import time; print('ready', flush=True); time.sleep(60)"
child = process.start("child", [sys.executable, "-c", code], {}, Path(sys.argv[1]))
print(child.popen.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def children() -> Iterator[list[Child]]:
    started: list[Child] = []
    yield started
    process.stop(started, grace=0)


def start(children: list[Child], code: str, folder: Path, **environment: str) -> Child:
    child = process.start("test", [sys.executable, "-c", code], environment, folder / "test.log")
    children.append(child)
    return child


def words(log: Path) -> list[str]:
    """The first line of a log, once there is one."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if "\n" in (text := log.read_text()):
            return text.splitlines()[0].split()
        time.sleep(0.02)
    pytest.fail(f"{log} stays empty")


def is_gone(pid: int) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_a_child_gets_its_environment_and_writes_its_log(children: list[Child], tmp_path: Path) -> None:
    child = start(children, "import os; print(os.environ['GREETING'])", tmp_path, GREETING="hello")
    child.popen.wait()
    assert child.exit_code == 0
    assert child.last_lines() == "hello"


def test_a_child_may_drain(children: list[Child], tmp_path: Path) -> None:
    child = start(children, STOPS_ON_SIGTERM, tmp_path)
    words(child.log)
    process.stop([child], grace=20)
    assert child.exit_code == 0
    assert child.last_lines().endswith("draining")


def test_what_will_not_end_is_killed_with_its_children(children: list[Child], tmp_path: Path) -> None:
    child = start(children, IGNORES_SIGTERM, tmp_path)
    _, server, engine = words(child.log)
    process.stop([child], grace=0.2)
    assert child.exit_code == -signal.SIGKILL
    assert is_gone(int(server))
    assert is_gone(int(engine))


def test_a_child_of_a_killed_parent_ends(tmp_path: Path) -> None:
    log = tmp_path / "child.log"
    parent = subprocess.Popen([sys.executable, "-c", STARTS_A_CHILD, str(log)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        child = int(parent.stdout.readline())
    words(log)
    parent.kill()
    parent.wait()
    assert is_gone(child)


def test_stopping_what_has_ended_is_fine(children: list[Child], tmp_path: Path) -> None:
    child = start(children, "", tmp_path)
    child.popen.wait()
    process.stop([child], grace=1)
    assert child.exit_code == 0
    with pytest.raises(ProcessLookupError):
        os.killpg(child.popen.pid, 0)
