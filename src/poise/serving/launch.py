"""What `poise serve` does: every server of a plan and a gateway before them, as processes of this machine."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from poise.artifacts import inputs, keys
from poise.errors import UserError
from poise.serving import process
from poise.serving.admin import Admin, failure, wait_ready
from poise.serving.plan import ServerPlan
from poise.serving.process import Child
from poise.serving.settings import ResolverSettings
from poise.serving.shape import Shape, engine_for
from poise.serving.vllm import Command, server_command
from poise.store import Store

READY_SECONDS = 1800.0
GATEWAY_SECONDS = 60.0
DRAIN_SECONDS = 20.0
_POLL = 0.2
Say = Callable[[str], None]


def silent(line: str) -> None:
    """For whoever does not want to hear of it."""


@dataclass(frozen=True)
class Options:
    """Attributes:
    host, port: where the gateway listens; port 0 takes a free one.
    open_to_all: answer without API keys; else there must be one in the store before the start.
    gpu: the servers have a GPU, and share it.
    """

    host: str = "127.0.0.1"
    port: int = 0
    open_to_all: bool = False
    gpu: bool = False


class Deployment:
    """Servers and their gateway, running while the context is entered; enter it in the main thread.

    Args:
        python: interpreter of the environment `serve`.

    Attributes:
        folder: logs, the servers file and downloaded adapters of this deployment.
        url: of the gateway.

    Raises `MachineError` where the gateway's port is taken.
    """

    def __init__(
        self,
        home: Path,
        python: Path,
        store: Store,
        plans: Sequence[ServerPlan],
        options: Options = Options(),
        say: Say = silent,
    ) -> None:
        self._home, self._python, self._store, self._plans = home, python, store, tuple(plans)
        self._options, self._say = options, say
        port = process.free_port(options.host, options.port)
        self._bind = f"{options.host}:{port}"
        self.url = f"http://{'127.0.0.1' if options.host in ('0.0.0.0', '') else options.host}:{port}"
        self.folder = home / "serve" / str(port)
        self._scratch: Path | None = None
        self._servers: list[Child] = []
        self._gateway: list[Child] = []

    def __enter__(self) -> Self:
        """Start everything and wait until it answers.

        Raises `WorkerFailed` with the log of what did not, `UserError` where no client could call.
        """
        with ExitStack() as undo:
            undo.callback(self._stop)
            self._start()
            undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._stop()

    def watch(self) -> None:
        """Return never; raise `WorkerFailed` when one of the processes ends."""
        while True:
            for child in (*self._servers, *self._gateway):
                if (code := child.exit_code) is not None:
                    raise failure(child, f"ended with exit code {code}")
            time.sleep(_POLL)

    def _start(self) -> None:
        if not self._options.open_to_all and not keys.list_keys(self._store):
            raise UserError(f"there is no API key in {self._store.url}", advice="make one: `poise keys create NAME`")
        self.folder.mkdir(parents=True, exist_ok=True)
        self._scratch = Path(tempfile.mkdtemp(prefix="poise-"))  # short: sockets are made in it
        ports = process.free_ports(len(self._plans))
        commands = [self._command(item, port) for item, port in zip(self._plans, ports, strict=True)]
        urls = [f"http://127.0.0.1:{port}" for port in ports]
        # All at once: most of a start is one thread that imports.
        for item, command in zip(self._plans, commands, strict=True):
            environment = command.env | {"TMPDIR": str(self._scratch)}
            self._servers.append(process.start(item.name, command.argv, environment, self.folder / f"{item.name}.log"))
        for item, url, child in zip(self._plans, urls, self._servers, strict=True):
            self._say(f"starting vLLM for {', '.join((item.name, *item.adapters))}")
            with Admin(url) as admin:
                wait_ready(admin, child, READY_SECONDS)
                for name in item.adapters:
                    admin.load(name)
        self._start_gateway([item.entry(url) for item, url in zip(self._plans, urls, strict=True)])

    def _command(self, item: ServerPlan, port: int) -> Command:
        weights = inputs.materialize(self._store, item.weights, self._home / "cache")
        cores = len(os.sched_getaffinity(0))
        engine = engine_for(Shape.read(weights), gpu=self._options.gpu, servers=len(self._plans), cores=cores)
        if item.version is not None:
            return server_command(self._python, weights, item.name, port, engine)
        resolver = ResolverSettings(self._store.url, self._adapters / item.name, item.weights, item.max_rank)
        return server_command(self._python, weights, item.name, port, engine, resolver, item.max_loras)

    def _start_gateway(self, servers: list[dict[str, object]]) -> None:
        path = self.folder / "servers.json"
        path.write_text(json.dumps({"servers": servers}, indent=2))
        environment = {
            "POISE_STORE": self._store.url,
            "POISE_GATEWAY_SERVERS": str(path),
            "POISE_GATEWAY_BIND": self._bind,
            "POISE_GATEWAY_OPEN": "1" if self._options.open_to_all else "",
            "POISE_GATEWAY_GRACE_SECONDS": str(DRAIN_SECONDS),
        }
        argv = (sys.executable, "-m", "poise_gateway")
        self._gateway.append(process.start("gateway", argv, environment, self.folder / "gateway.log"))
        with Admin(self.url) as admin:
            wait_ready(admin, self._gateway[0], GATEWAY_SECONDS, "/readyz")

    @property
    def _adapters(self) -> Path:
        return self.folder / "adapters"

    def _stop(self) -> None:
        """The gateway first, which lets its streams end; then nobody is left who would ask a server.

        So servers are not waited for: they would tear themselves down for seconds.
        """
        try:
            process.stop(self._gateway, DRAIN_SECONDS + 5)
        finally:
            process.stop(self._servers, grace=1.0)
            for folder in (self._adapters, self._scratch):
                if folder is not None:
                    shutil.rmtree(folder, ignore_errors=True)
