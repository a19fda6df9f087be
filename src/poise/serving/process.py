"""Child processes that leave nothing behind: each has a group and a log, and is asked to end before it is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from poise.serving.settings import child_environment

_POLL = 0.05


@dataclass(frozen=True)
class Child:
    """A running process: what it is called, and where its output goes."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for a signal."""
        return self.popen.poll()

    def last_lines(self, count: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-count:])


def start(name: str, argv: Sequence[str], environment: Mapping[str, str], log: Path) -> Child:
    """Start `argv` with `environment` added to ours. It gets SIGTERM when the calling thread ends."""
    command = [sys.executable, "-m", "poise.serving.child", str(os.getpid()), *argv]
    with log.open("wb") as output:
        popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=child_environment(environment),
            start_new_session=True,
        )
    return Child(name, popen, log)


def stop(children: Sequence[Child], grace: float) -> None:
    """SIGTERM to all, and after `grace` seconds SIGKILL to every process that is left of their groups.

    Ctrl-C meanwhile ends the waiting.
    """
    for child in children:
        if child.exit_code is None:
            child.popen.terminate()
    try:
        _wait(children, time.monotonic() + grace)
    finally:
        for child in children:
            _kill_group(child)


def _wait(children: Sequence[Child], deadline: float) -> None:
    while time.monotonic() < deadline and any(child.exit_code is None for child in children):
        time.sleep(_POLL)


def _kill_group(child: Child) -> None:
    """Its children too: an engine outlives an API server that was killed."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.popen.pid, signal.SIGKILL)
    child.popen.wait()


def free_port(host: str) -> int:
    """A port of `host` that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
