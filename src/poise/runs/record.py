"""The record of a run: the file as submitted, what its references resolved to, and how it stands.

Phases::

    Pending -> Running -> Publishing -> Succeeded
                  |           |
                  |           +--> Failed           a check refused the publication
                  +--> Interrupted                  SIGTERM or a lost worker: the same file continues it
                  +--> Failed, Cancelled
"""

from __future__ import annotations

import json
import re
import secrets
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Literal

from pydantic import Field

from poise.artifacts.manifest import Record
from poise.errors import NotFound
from poise.specs import Run, canonical, digest
from poise.store import Store

Phase = Literal["Pending", "Running", "Publishing", "Succeeded", "Failed", "Cancelled", "Interrupted"]
FINISHED = frozenset({"Succeeded", "Failed", "Cancelled"})
RUN_ID = re.compile(r"([a-z0-9-]+)\.([a-z0-9-]+)\.([0-9a-f]{8})")


class Resolved(Record):
    """A run with every reference pinned by digest or commit: all that a worker needs to know.

    Attributes:
        run: the resource as validated, overrides applied, with its `spec` complete.
        overrides: what was set on the command line, for the record.
        inputs: pinned references by input name (`base`, `adapter`, `data.train`, ...).
        base: the pinned full weights underneath `inputs`.
        code: version and digest of the code.
    """

    schema_version: Literal[1] = 1
    id: str
    run: dict[str, Any]
    overrides: tuple[str, ...] = ()
    inputs: dict[str, str]
    base: str
    code: str
    created: str

    @property
    def resource(self) -> Run:
        return Run.model_validate(self.run)

    @property
    def is_pinned(self) -> bool:
        """Whether every input is named by content; objects in buckets outside the store are not."""
        return not any(pinned.startswith(("s3://", "gs://", "az://")) for pinned in self.inputs.values())

    @property
    def digest(self) -> str:
        """What the result depends on: the spec, the inputs' content and the code; names and publishing do not count."""
        spec = {key: value for key, value in self.run["spec"].items() if key != "publish"}
        return digest(canonical({"spec": spec, "inputs": self.inputs, "code": self.code}))


class Status(Record):
    """How a run stands.

    Attributes:
        step: optimizer steps done, of `steps`.
        metrics: the newest values.
        reason: the class of the error that ended it; `message` is for people.
        attempts: how often a worker was started.
        published: the served name, once published.
        parity: the measured parity in words, where weights were compared.
    """

    phase: Phase = "Pending"
    step: int = 0
    steps: int = 0
    metrics: dict[str, float] = Field({})
    reason: str | None = None
    message: str | None = None
    attempts: int = 0
    artifact: str | None = None
    published: str | None = None
    parity: dict[str, Any] | None = None
    started: str | None = None
    updated: str | None = None
    finished: str | None = None

    @property
    def is_finished(self) -> bool:
        return self.phase in FINISHED


def new_id(namespace: str, name: str) -> str:
    """`<namespace>.<name>.<8 hex>`."""
    return f"{namespace}.{name}.{secrets.token_hex(4)}"


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def read_status(store: Store, run: str) -> Status:
    """Raises `NotFound` where there is no such run."""
    return Status.model_validate(json.loads(store.get(f"runs/{run}/status.json")))


def write_status(store: Store, run: str, status: Status) -> Status:
    status = status.model_copy(update={"updated": now()})
    store.put(f"runs/{run}/status.json", canonical(status.model_dump(mode="json")))
    return status


def read_resolved(store: Store, run: str) -> Resolved:
    return Resolved.model_validate(json.loads(store.get(f"runs/{run}/resolved.json")))


def all_runs(store: Store) -> list[str]:
    """The ids of all runs, oldest first."""
    entries = [entry for entry in store.list("runs") if entry.key.endswith("/resolved.json")]
    return [entry.key.split("/")[1] for entry in sorted(entries, key=lambda entry: entry.modified)]


def find_run(store: Store, name: str) -> str:
    """The id of the newest run called `name`, which may also be the id itself; raises `NotFound`."""
    known = all_runs(store)
    if name in known:
        return name
    matches = [run for run in known if run.split(".")[1] == name]
    if matches:
        return matches[-1]
    near = get_close_matches(name, {run.split(".")[1] for run in known} | set(known), n=1)
    advice = f"did you mean {near[0]}?" if near else "`poise runs` lists them"
    raise NotFound(f"there is no run {name!r}", advice=advice)
