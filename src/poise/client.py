"""The user's verbs as a library: what `poise` on the command line does, for scripts and notebooks."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import Any

from poise.artifacts import aliases, inputs, registry, transfer
from poise.artifacts.aliases import Alias
from poise.artifacts.lineage import Origin, lineage
from poise.artifacts.registry import Published
from poise.data.check import check_data
from poise.errors import NotFound, PoiseError
from poise.pipeline import Finished, Progress, State, next_actions
from poise.runners.finish import settle
from poise.runners.local import Event, LocalRunner
from poise.runs import lease, record
from poise.runs.record import Resolved, Status
from poise.runs.resolve import resolve
from poise.settings import Settings
from poise.specs import Loaded, Pipeline, Reference, Run, load_file, references
from poise.store import Store, open_store

Watch = Callable[[str, Event], None]


@dataclass(frozen=True)
class Outcome:
    """How a run, or one step of a pipeline, ended. `skipped`: an earlier run had made the same artifact."""

    name: str
    run: str | None
    status: Status
    skipped: bool = False


def _ignore(run: str, event: Event) -> None:
    """For whoever does not watch."""


class Client:
    """Runs, models and aliases of one store, on this machine."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.from_environment()
        self._runners: list[LocalRunner] = []
        self._stopping = False

    @cached_property
    def store(self) -> Store:
        # Somebody is waiting: a store that is away for longer than this is reported, and the command can be repeated.
        return open_store(self.settings.store, patience_s=min(self.settings.patience, 30.0))

    def run(
        self, file: Path, overrides: tuple[str, ...] = (), watch: Watch = _ignore, parallel: int = 1
    ) -> list[Outcome]:
        """Run a file to its end on this machine: one outcome for a `Run`, one per step for a `Pipeline`.

        Ctrl-C and SIGTERM make workers save a checkpoint; the same call continues from there. Raises what stops a run
        before it has begun; everything later is in the outcomes.
        """
        loaded = load_file(file, overrides)
        self._stopping, self._runners = False, []
        with self._stoppable():
            if isinstance(loaded.resource, Run):
                return [self._run(loaded.resource, loaded, watch)]
            return self._pipeline(loaded.resource, loaded, watch, parallel)

    def check(self, loaded: Loaded) -> None:
        """Look for the local files and builtin names of a file, and read what data is there; raises what is wrong."""
        resource = loaded.resource
        for spec in [resource.spec] if isinstance(resource, Run) else [step.spec for step in resource.spec.steps]:
            found = {}
            for name, text in references(spec).items():
                reference = Reference.parse(text)
                if reference.scheme in {"path", "builtin"}:
                    found[name] = inputs.find(reference, loaded.folder, f"spec.{name}")
            check_data(spec, found)

    def resolve(self, run: Run, loaded: Loaded) -> Resolved:
        """Pin what `run` names, and read what data is on this machine; raises what is wrong with either."""
        resolved = resolve(run, loaded.folder, self.store, self.settings.hub, loaded.overrides)
        local = {name: inputs.local_path(pinned) for name, pinned in resolved.inputs.items()}
        check_data(resolved.resource.spec, {name: path for name, path in local.items() if path is not None})
        return resolved

    def runs(self) -> list[tuple[str, Status]]:
        """All runs, oldest first."""
        return [(run, self._status(run)) for run in record.all_runs(self.store)]

    def status(self, name: str) -> tuple[str, Status]:
        """The newest run called `name` and how it stands; raises `NotFound`."""
        run = record.find_run(self.store, name)
        return run, self._status(run)

    def cancel(self, name: str) -> tuple[str, Status]:
        """Stop a run for good."""
        run = record.find_run(self.store, name)
        return run, LocalRunner(self.settings, self.store).cancel(run)

    def log_path(self, name: str) -> Path:
        """The log of the newest run called `name`; raises `NotFound`."""
        run = record.find_run(self.store, name)
        path = LocalRunner(self.settings, self.store).log_path(run)
        if not path.exists():
            raise NotFound(f"the run {run} has no log on this machine", advice=f"looked for {path}")
        return path

    def models(self) -> list[Published]:
        """Every published version."""
        return [item for name in registry.names(self.store) for item in registry.versions(self.store, name)]

    def lineage(self, version: str) -> Origin:
        """All that the version `NAME@N` was made from, back to base weights and rows; raises `NotFound`."""
        return lineage(self.store, registry.get(self.store, version).version.artifact)

    def aliases(self) -> dict[str, Alias]:
        return aliases.all_aliases(self.store)

    def served(self, name: str) -> list[Published]:
        """The versions that a name stands for: an alias's targets, or the version `NAME@N`; raises `NotFound`."""
        if "@" in name:
            return [registry.get(self.store, name)]
        try:
            targets = aliases.read(self.store, name).targets
        except NotFound as error:
            known = [item.served_name for item in registry.versions(self.store, name)]
            advice = f"its versions are {', '.join(known)}" if known else "`poise models` lists aliases and versions"
            raise NotFound(f"there is no alias {name!r}", advice=advice) from error
        return [registry.get(self.store, target.version) for target in targets]

    def promote(self, alias: str, version: str) -> Alias:
        """Point `alias` at the version `NAME@N`."""
        return aliases.promote(self.store, alias, version)

    def rollback(self, alias: str) -> Alias:
        """Point `alias` at what it meant before."""
        return aliases.rollback(self.store, alias)

    def _status(self, run: str) -> Status:
        status = record.read_status(self.store, run)
        silent = time.time() - datetime.fromisoformat(status.updated or record.now()).timestamp()
        # A worker that has only just been started holds no lease yet.
        if status.phase in {"Pending", "Running"} and silent > lease.LASTS and lease.read(self.store, run) is None:
            changes = {"phase": "Interrupted", "message": "no worker is on it: run the same file again to continue"}
            return status.model_copy(update=changes)
        return status

    def _run(self, run: Run, loaded: Loaded, watch: Watch) -> Outcome:
        return self._execute(run.metadata.name, self.resolve(run, loaded), loaded.text, watch)

    def _execute(self, name: str, resolved: Resolved, text: str, watch: Watch) -> Outcome:
        runner = LocalRunner(self.settings, self.store, lambda event: watch(name, event), stopping=self._stopping)
        self._runners.append(runner)
        runner.stopping |= self._stopping
        run = runner.submit(resolved, text)
        watch(name, {"event": "continued" if run != resolved.id else "submitted", "run": run})
        return Outcome(name, run, runner.execute(run))

    def _pipeline(self, pipeline: Pipeline, loaded: Loaded, watch: Watch, parallel: int) -> list[Outcome]:
        outcomes: dict[str, Outcome] = {}
        running: dict[str, Future[Outcome]] = {}
        with ThreadPoolExecutor(max_workers=parallel) as pool:
            while True:
                actions = next_actions(pipeline, _state(outcomes, running), parallel - len(running))
                if isinstance(actions, Finished) or (self._stopping and not running):
                    return _in_order(pipeline, outcomes, self._stopping)
                for action in [] if self._stopping else actions:
                    running[action.step] = pool.submit(self._step, action.step, action.run, loaded, watch)
                done, _ = wait(running.values(), return_when=FIRST_COMPLETED)
                for name in [name for name, future in running.items() if future in done]:
                    outcomes[name] = running.pop(name).result()

    def _step(self, step: str, run: Run, loaded: Loaded, watch: Watch) -> Outcome:
        """Run a step, unless the same spec on the same inputs has been run by the same code before."""
        try:
            resolved = self.resolve(run, loaded)
            if resolved.is_pinned and (known := self._remembered(resolved)):
                watch(step, {"event": "unchanged", "artifact": known.artifact})
                return Outcome(step, None, known, skipped=True)
            return replace(self._execute(step, resolved, loaded.text, watch), name=step)
        except PoiseError as error:
            watch(step, {"event": "refused", "message": str(error)})
            return Outcome(step, None, Status(phase="Failed", reason=error.reason, message=str(error)))

    def _remembered(self, resolved: Resolved) -> Status | None:
        try:
            artifact = json.loads(self.store.get(f"steps/{resolved.digest}.json"))["artifact"]
            manifest = transfer.read_manifest(self.store, artifact)
        except NotFound:
            return None
        settled: dict[str, Any] = settle(self.store, manifest, artifact, resolved.run["spec"].get("publish"))
        return Status.model_validate(
            {"phase": "Succeeded", "artifact": artifact, "metrics": manifest.metrics, **settled}
        )

    def stop(self) -> None:
        """Ask every worker of this client to save a checkpoint and stop."""
        self._stopping = True
        for runner in self._runners:
            runner.stopping = True

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def on_signal(number: int, frame: FrameType | None) -> None:
            if self._stopping or not self._runners:
                raise KeyboardInterrupt
            self.stop()

        before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _in_order(pipeline: Pipeline, outcomes: dict[str, Outcome], stopped: bool) -> list[Outcome]:
    """One outcome per step; of those that were never started, why."""
    phase, why = ("Interrupted", "asked to stop") if stopped else ("Failed", "a step before it failed")
    missed = Status.model_validate({"phase": phase, "reason": "Skipped", "message": f"not started: {why}"})
    steps = [step.name for step in pipeline.spec.steps]
    return [outcomes.get(name) or Outcome(name, None, missed) for name in steps]


def _state(outcomes: dict[str, Outcome], running: dict[str, Future[Outcome]]) -> State:
    succeeded = {name: outcome.status for name, outcome in outcomes.items() if outcome.status.phase == "Succeeded"}
    artifacts = {name: status.artifact for name, status in succeeded.items() if status.artifact is not None}
    others: dict[str, Progress] = {name: "failed" for name in outcomes if name not in artifacts}
    return State(artifacts, others | dict.fromkeys(running, "running"))
