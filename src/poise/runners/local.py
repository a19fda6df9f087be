"""The local runner: a process per stage in the environment of its method, watched through its log."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from poise import environments
from poise.errors import Conflict, MachineError, NotFound, StoreUnavailable
from poise.methods import METHODS, Stage
from poise.runners.finish import finish
from poise.runs import lease, record
from poise.runs.claim import claim
from poise.runs.record import Resolved, Status
from poise.settings import Settings
from poise.specs import canonical
from poise.store import Store

Event = dict[str, Any]
Watch = Callable[[Event], None]
ATTEMPTS = 3
GRACE = 60.0
_POLL = 0.2
_CANCEL_POLL = 1.0


def _ignore(event: Event) -> None:
    """For whoever does not watch."""


@dataclass
class LocalRunner:
    """Runs the stages of runs on this machine.

    Attributes:
        stopping: set from a signal handler: the worker is asked to checkpoint and stop.
    """

    settings: Settings
    store: Store
    watch: Watch = _ignore
    stopping: bool = False

    def submit(self, resolved: Resolved, text: str) -> str:
        """Record a run: the file verbatim, what it resolved to, and that it is pending; returns its id.

        An interrupted run of the same name and settings is continued instead. Raises `Conflict` where the name is
        in use, and `MachineError` where this machine has fewer GPUs than asked for or lacks an environment.
        """
        check_resources(resolved)
        for stage in METHODS[resolved.run["spec"]["method"]]:
            environments.python(stage.environment, self.settings.home)
        prefix = f"runs/{resolved.id}"
        files = {"run.yaml": text.encode(), "resolved.json": canonical(resolved.model_dump(mode="json"))}
        record.write_status(self.store, resolved.id, Status())
        for name, content in files.items():
            self.store.create(f"{prefix}/{name}", content)
        # Whole before it is claimed, so that whoever else wants the name finds a run that can be judged.
        try:
            claimed = claim(self.store, resolved).id
        except Conflict:
            claimed = ""
            raise
        finally:
            if claimed != resolved.id:
                for name in ("resolved.json", "run.yaml", "status.json"):
                    self.store.delete(f"{prefix}/{name}")
        return claimed

    def execute(self, run: str) -> Status:
        """Work a recorded run to its end, or until it is asked to stop; every kind of end is in the status."""
        resolved = record.read_resolved(self.store, run)
        status = record.read_status(self.store, run)
        if not status.is_finished and status.phase != "Publishing":
            record.write_status(self.store, run, status.model_copy(update={"phase": "Pending", "message": None}))
            for index, stage in enumerate(METHODS[resolved.run["spec"]["method"]]):
                if not self._stage(run, index, stage):
                    return record.read_status(self.store, run)
        status = finish(self.store, run)
        shutil.rmtree(self.settings.home / "work" / run, ignore_errors=True)
        return status

    def cancel(self, run: str) -> Status:
        """Ask whoever works on `run` to stop for good; with nobody there, it is cancelled on the spot."""
        status = record.read_status(self.store, run)
        if status.is_finished or status.phase == "Publishing":
            return status
        self.store.put(f"runs/{run}/cancel", record.now().encode())
        return status if lease.read(self.store, run) else self._mark_cancelled(run)

    def log_path(self, run: str) -> Path:
        return self.settings.home / "logs" / f"{run}.log"

    def _stage(self, run: str, index: int, stage: Stage) -> bool:
        """Whether the stage was done; else the status says why not."""
        for attempt in range(1, ATTEMPTS + 1):
            code = self._process(run, index, stage)
            if code == 0:
                return True
            if holder := lease.read(self.store, run):
                raise Conflict(f"the run {run} is being worked on by {holder.holder}", advice="wait, or cancel it")
            if self._is_cancelled(run):
                self._mark_cancelled(run)
                return False
            self._note_death(run, code)
            if self.stopping or not (code == 75 or code < 0):
                return False
            if attempt < ATTEMPTS:
                self.watch({"event": "retry", "attempt": attempt + 1, "of": ATTEMPTS, "code": code})
                time.sleep(2.0 ** (attempt - 1))
        return False

    def _process(self, run: str, index: int, stage: Stage) -> int:
        gpus: int = record.read_resolved(self.store, run).run["spec"]["resources"]["gpus"]
        python = environments.python(stage.environment, self.settings.home)
        path = self.log_path(run)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as log:
            began = log.tell()
            url = f"{self.store.url}/runs/{run}/resolved.json"
            worker = subprocess.Popen(
                [str(python), "-m", "poise.worker", url, "--stage", str(index), "--parent", str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._environment(gpus),
                start_new_session=True,
            )
        self.watch({"event": "stage", "stage": index, "environment": stage.environment, "pid": worker.pid})
        try:
            with path.open("rb") as log:
                log.seek(began)
                return self._follow(run, worker, log)
        finally:
            if worker.poll() is None:
                worker.terminate()
                worker.wait()

    def _follow(self, run: str, worker: subprocess.Popen[bytes], log: BinaryIO) -> int:
        asked: float | None = None
        looked = time.monotonic()
        while (code := worker.poll()) is None:
            self._pass_on(log)
            stop = self.stopping
            if time.monotonic() - looked > _CANCEL_POLL:
                looked = time.monotonic()
                stop = stop or self._is_cancelled(run)
            if asked is None and stop:
                asked = time.monotonic()
                worker.terminate()
            if asked is not None and time.monotonic() - asked > GRACE:
                os.killpg(worker.pid, signal.SIGKILL)
            time.sleep(_POLL)
        self._pass_on(log)
        return code

    def _pass_on(self, log: BinaryIO) -> None:
        """Give whole new lines `POISE {json}` of the log to the watcher."""
        while line := log.readline():
            if not line.endswith(b"\n"):
                log.seek(-len(line), os.SEEK_CUR)
                return
            if line.startswith(b"POISE "):
                # What else prints into the log may have spoilt the line.
                with contextlib.suppress(ValueError):
                    self.watch({"event": "progress", **json.loads(line[6:])})

    def _environment(self, gpus: int) -> dict[str, str]:
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment |= {
            "POISE_HOME": str(self.settings.home),
            "PYTHONUNBUFFERED": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        # A worker sees the GPUs it asked for and no others, or the trainer would spread over all of them.
        visible = environment.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(environments.gpu_count()))))
        environment["CUDA_VISIBLE_DEVICES"] = ",".join(visible.split(",")[:gpus])
        environment.setdefault("OMP_NUM_THREADS", "1" if (os.cpu_count() or 1) <= 2 else str(os.cpu_count()))
        return environment

    def _is_cancelled(self, run: str) -> bool:
        try:
            self.store.get(f"runs/{run}/cancel")
        except (NotFound, StoreUnavailable):
            return False  # of an absent store: asked again at the next turn
        return True

    def _mark_cancelled(self, run: str) -> Status:
        status = record.read_status(self.store, run)
        changes = {"phase": "Cancelled", "reason": "Cancelled", "message": "cancelled", "finished": record.now()}
        return record.write_status(self.store, run, status.model_copy(update=changes))

    def _note_death(self, run: str, code: int) -> None:
        """A worker that was killed, or died before it could speak, leaves no word in the status: add one."""
        status = record.read_status(self.store, run)
        if status.phase in {"Pending", "Running"}:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            phase = "Interrupted" if code < 0 or code == 75 else "Failed"
            message = f"the worker {how}\nits log is {self.log_path(run)}"
            finished = record.now() if phase == "Failed" else None
            changes = {"phase": phase, "reason": "WorkerFailed", "message": message, "finished": finished}
            record.write_status(self.store, run, status.model_copy(update=changes))


def check_resources(resolved: Resolved) -> None:
    """Raise `MachineError` where a run asks for more GPUs than this machine has."""
    asked = resolved.run["spec"]["resources"]["gpus"]
    have = environments.gpu_count()
    if asked > have:
        raise MachineError(
            f"the run asks for {asked} GPU{'s' * (asked > 1)} and this machine has {have or 'none'}",
            advice=f"run it with `--set spec.resources.gpus={have}`",
        )
