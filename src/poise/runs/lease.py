"""The lease of a run: at most one worker holds it, and it is checked before anything becomes visible.

A lease lasts 60 seconds and is renewed every 15, by compare-and-set. A worker that was frozen for longer finds out at
its next check that another has taken over, and writes nothing more.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal

from poise.artifacts.manifest import Record
from poise.errors import Conflict, LeaseLost, NotFound, StoreUnavailable
from poise.specs import canonical
from poise.store import Store

LASTS = 60.0
RENEWED_EVERY = 15.0
_ADVICE = "this worker stops; the other one goes on"


class Holder(Record):
    """What stands in `lease.json`; `expires` in seconds since the epoch, 0 once released."""

    schema_version: Literal[1] = 1
    holder: str
    attempt: int
    nonce: str
    expires: float


def read(store: Store, run: str) -> Holder | None:
    """Who holds the lease of `run`, or None where nobody does any more."""
    try:
        lease = Holder.model_validate(json.loads(store.get(f"runs/{run}/lease.json")))
    except NotFound:
        return None
    return lease if lease.expires > time.time() and not _has_ended(lease.holder) else None


def _this_process() -> str:
    return f"{_machine()}/{os.getpid()}/{_start_time(os.getpid())}"


def _machine() -> str:
    """What process ids are unique in: a boot of a machine, and a container's namespace on it."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{socket.gethostname()}-{boot[:8]}-{Path('/proc/self/ns/pid').stat().st_ino}"


def _has_ended(holder: str) -> bool:
    """Whether `holder` was a process of this machine that is no more, so that nobody need wait for its lease."""
    host, _, process = holder.partition("/")
    pid, _, started = process.partition("/")
    return host == _machine() and _start_time(int(pid)) != started


def _start_time(pid: int) -> str:
    """When a process began, in clock ticks since boot (proc(5), field 22 of stat); empty for none or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


class Lease:
    """Hold a run's lease while the block runs; a thread renews it.

    Entering raises `Conflict` where another worker holds it.
    """

    def __init__(self, store: Store, run: str, *, lasts: float = LASTS, every: float = RENEWED_EVERY) -> None:
        self._store = store
        self._key = f"runs/{run}/lease.json"
        self._run = run
        self._lasts = lasts
        self._every = every
        self._holder = _this_process()
        self._nonces: set[str] = set()  # ours; two after a renewal of which no reply came
        self._expires = 0.0
        self._lost: str | None = None
        self._released = threading.Event()
        self._mutex = threading.Lock()
        self._thread = threading.Thread(target=self._renew_until_released, name="lease", daemon=True)
        self.attempt = 0

    def __enter__(self) -> Lease:
        self._take()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._released.set()
        self._thread.join()
        if self._lost is None:
            self._swap(expires=0.0)

    @property
    def is_lost(self) -> bool:
        return self._lost is not None or time.time() > self._expires

    def require(self) -> None:
        """Raise `LeaseLost` where this worker knows that it has lost the lease; asks nobody."""
        if self.is_lost:
            raise LeaseLost(self._lost or f"the lease of {self._run} ran out", advice=_ADVICE)

    def check(self) -> None:
        """Raise `LeaseLost` unless the store still says that this worker holds the lease."""
        self._renew()
        if self._lost is not None:
            raise LeaseLost(self._lost, advice=_ADVICE)

    def _take(self) -> None:
        try:
            stored = self._store.read(self._key)
        except NotFound:
            self.attempt = 1
            try:
                self._write(lambda value: self._store.create(self._key, value), time.time() + self._lasts)
            except Conflict as error:
                raise self._held("another worker, since just now") from error
            return
        current = Holder.model_validate(json.loads(stored.data))
        if current.expires > time.time() and not _has_ended(current.holder):
            raise self._held(current.holder)
        self.attempt = current.attempt + 1
        try:
            self._write(lambda value: self._store.replace(self._key, value, stored.tag), time.time() + self._lasts)
        except Conflict as error:
            raise self._held("another worker, since just now") from error

    def _held(self, holder: str) -> Conflict:
        return Conflict(f"the run {self._run} is being worked on by {holder}", advice="wait, or `poise cancel` it")

    def _write(self, write: Callable[[bytes], None], expires: float) -> None:
        """Store a new expiry under a new nonce; until the store has confirmed it, the old ones count too."""
        nonce = secrets.token_hex(8)
        holder = Holder(holder=self._holder, attempt=self.attempt, nonce=nonce, expires=expires)
        self._nonces.add(nonce)
        write(canonical(holder.model_dump(mode="json")))
        self._nonces, self._expires = {nonce}, expires

    def _renew_until_released(self) -> None:
        while not self._released.wait(self._every):
            self._renew()

    def _renew(self) -> None:
        try:
            self._swap(expires=time.time() + self._lasts)
        except StoreUnavailable:
            # An outage shorter than the lease does no harm; a longer one shows in the expiry.
            if time.time() > self._expires:
                self._lost = f"the lease of {self._run} ran out while the store did not answer"

    def _swap(self, expires: float) -> None:
        with self._mutex:
            if self._lost is not None:
                return
            try:
                stored = self._store.read(self._key)
                current = Holder.model_validate(json.loads(stored.data))
                if current.nonce not in self._nonces:
                    raise Conflict(current.holder)
                self._write(lambda value: self._store.replace(self._key, value, stored.tag), expires)
            except (Conflict, NotFound):
                self._lost = f"another worker has taken over {self._run}"
