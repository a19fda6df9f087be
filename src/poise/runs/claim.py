"""Who a name belongs to: at most one unfinished run of a name, decided by put-if-absent and compare-and-set."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable

from poise.errors import Conflict, NotFound
from poise.runs import lease, record
from poise.runs.record import Resolved
from poise.specs import canonical
from poise.store import Store


def claim(store: Store, resolved: Resolved) -> Resolved:
    """Take the name of `resolved` for it, or return the interrupted run of that name that it continues.

    Raises `Conflict` where a run of that name is being worked on, or was interrupted and had other settings.
    """
    namespace, name, _ = resolved.id.split(".")
    key = f"runs/{namespace}.{name}.json"
    value = canonical({"run": resolved.id, "nonce": secrets.token_hex(8)})
    try:
        stored = store.read(key)
    except NotFound:
        _take(lambda: store.create(key, value), name)
        return resolved
    holder = json.loads(stored.data)["run"]
    if (unfinished := _unfinished(store, holder)) is not None:
        return _continued(store, unfinished, resolved, name)
    _take(lambda: store.replace(key, value, stored.tag), name)
    return resolved


def _unfinished(store: Store, run: str) -> Resolved | None:
    try:
        status = record.read_status(store, run)
        resolved = record.read_resolved(store, run)
    except NotFound:
        return None  # gone from the store
    return None if status.is_finished or _was_cancelled(store, run) else resolved


def _was_cancelled(store: Store, run: str) -> bool:
    """Whether it was asked to stop for good and whoever should have stopped it is no more."""
    try:
        store.get(f"runs/{run}/cancel")
    except NotFound:
        return False
    return lease.read(store, run) is None


def _continued(store: Store, unfinished: Resolved, resolved: Resolved, name: str) -> Resolved:
    if holder := lease.read(store, unfinished.id):
        raise Conflict(
            f"a run called {name!r} is being worked on ({unfinished.id}, by {holder.holder})",
            advice=f"wait for it, `poise cancel {name}` it, or give this one another name",
        )
    if (unfinished.run, unfinished.inputs, unfinished.code) != (resolved.run, resolved.inputs, resolved.code):
        what = "other settings or other data" if unfinished.code == resolved.code else "another version of the code"
        raise Conflict(
            f"an interrupted run called {name!r} ({unfinished.id}) has {what}",
            advice=f"`poise cancel {name}` gives it up; after that this file starts a new run",
        )
    return unfinished


def _take(write: Callable[[], None], name: str) -> None:
    try:
        write()
    except Conflict as error:
        raise Conflict(f"somebody else has just started a run called {name!r}", advice="look again") from error
