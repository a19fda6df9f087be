"""What the gateway knows at one moment, and the thread that keeps it fresh."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from poise.artifacts import aliases, keys, registry
from poise.errors import NotFound, PoiseError
from poise.store import Store
from poise_gateway.servers import load_servers
from poise_gateway.table import Table, build_table

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """`keys` maps sha256 digests to key ids; `taken` is of the monotonic clock."""

    table: Table = field(default_factory=Table)
    keys: Mapping[str, str] = field(default_factory=dict)
    taken: float = field(default_factory=time.monotonic)


class Reader:
    """Reads the store and the servers file. Versions never change, so each is read once."""

    def __init__(self, store: Store, servers: Path) -> None:
        self._store = store
        self._servers = servers
        self._versions: dict[str, registry.Version] = {}

    def read(self) -> Snapshot:
        """Raises `SpecError` for the servers file, `StoreUnavailable` for the store."""
        taken = time.monotonic()
        self._damage: list[str] = []
        table = build_table(load_servers(self._servers), self._read_versions(), self._read_aliases())
        table = replace(table, problems=(*table.problems, *self._damage))
        known = {key.sha256: key.id for key in keys.list_keys(self._store)}
        return Snapshot(table, known, taken)

    def _read_versions(self) -> Mapping[str, registry.Version]:
        listed = [_served_name(entry.key) for entry in self._store.list("models")]
        known = self._versions
        self._versions = {}
        for name in listed:
            version = known.get(name) or self._version(name)
            if version:
                self._versions[name] = version
        return self._versions

    def _version(self, name: str) -> registry.Version | None:
        # One damaged record must not take every other model down with it.
        try:
            return registry.get(self._store, name).version
        except (NotFound, ValueError) as error:
            self._damage.append(f"version {name} cannot be read: {error}")
            return None

    def _read_aliases(self) -> Mapping[str, aliases.Alias]:
        found = {}
        for entry in self._store.list("aliases"):
            name = entry.key.removeprefix("aliases/").removesuffix(".json")
            try:
                found[name] = aliases.read(self._store, name)
            except (NotFound, ValueError) as error:
                self._damage.append(f"alias {name} cannot be read: {error}")
        return found


def _served_name(key: str) -> str:
    name, _, number = key.removeprefix("models/").removesuffix(".json").rpartition("/")
    return f"{name}@{number}"


class Refresher:
    """Holds the current snapshot and, once started, replaces it every `seconds`.

    It has a thread of its own, since the store's calls block; a daemon, so that a store that hangs does not
    hold up the end of the process. While reading fails, the last snapshot stays and `failing` is true.
    """

    def __init__(self, reader: Reader, *, seconds: float) -> None:
        self.current = Snapshot()
        self.failing = False
        self._reader = reader
        self._seconds = seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="refresher", daemon=True)

    @property
    def age(self) -> float:
        """Seconds since what is current was read."""
        return time.monotonic() - self.current.taken

    def refresh(self) -> None:
        """Raises as `Reader.read`, and keeps what is current then."""
        fresh = self._reader.read()
        for problem in set(fresh.table.problems) - set(self.current.table.problems):
            _log.warning("%s", problem)
        self.current = fresh

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds):
            try:
                self.refresh()
            except Exception as error:
                # Whatever it was, the next look may be better, and without this thread none would come.
                if not self.failing:
                    unexpected = not isinstance(error, PoiseError)
                    _log.warning("routes and keys stay as they are: %s", error, exc_info=unexpected)
                self.failing = True
            else:
                self.failing = False
