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

from poise.errors import MachineError
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


def free_ports(count: int) -> list[int]:
    """Different ports of the loopback interface that nobody listens on now."""
    with contextlib.ExitStack() as held:
        trials = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(trial.getsockname()[1]) for trial in trials]


def free_port(host: str, port: int = 0) -> int:
    """A port of `host` that nobody listens on now: `port`, or any where that is 0.

    Raises `MachineError` where it is taken.
    """
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host, port))
        except OSError as error:
            raise MachineError(f"cannot listen on {host}:{port}: {error}", advice="choose another --port") from error
        found: int = trial.getsockname()[1]
        return found
