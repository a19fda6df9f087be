"""Aliases: names that move between versions, each time by compare-and-set; a rollback is the same move backwards."""

from __future__ import annotations

import json
import re
import secrets
from datetime import UTC, datetime
from typing import Literal

from poise.artifacts import registry
from poise.artifacts.manifest import Record
from poise.errors import Conflict, NotFound, UserError
from poise.specs import canonical
from poise.store import Store

_NAME = re.compile(r"[a-z0-9]([-a-z0-9._]{0,50}[a-z0-9])?")


class Target(Record):
    """A version by its served name, and its share of the traffic."""

    version: str
    weight: float = 1.0


class Alias(Record):
    """What a name means now, and what it meant before.

    Attributes:
        nonce: differs at every write, so that a value that returns to what it was is still seen as changed.
    """

    schema_version: Literal[1] = 1
    targets: tuple[Target, ...]
    shadow: str | None = None
    previous: tuple[Target, ...] | None = None
    nonce: str
    updated: str = ""


def create(store: Store, name: str, version: str) -> bool:
    """Make the alias `name` for one version; False where the alias is there already, which is left as it is."""
    try:
        store.create(_key(name), _bytes((Target(version=version),), previous=None))
    except Conflict:
        return False
    return True


def read(store: Store, name: str) -> Alias:
    """The alias; raises `NotFound`."""
    try:
        return Alias.model_validate(json.loads(store.get(_key(name))))
    except NotFound as error:
        known = ", ".join(all_aliases(store)) or "none yet"
        raise NotFound(f"there is no alias {name!r}", advice=f"aliases: {known}") from error


def all_aliases(store: Store) -> dict[str, Alias]:
    """Every alias by name."""
    found = {}
    for entry in store.list("aliases"):
        name = entry.key.rsplit("/", 1)[-1].removesuffix(".json")
        found[name] = Alias.model_validate(json.loads(store.get(entry.key)))
    return found


def promote(store: Store, name: str, version: str) -> Alias:
    """Point `name` at a version that exists; raises `Conflict` where somebody else moved it meanwhile."""
    registry.get(store, version)
    if create(store, name, version):
        return read(store, name)
    stored = store.read(_key(name))
    current = Alias.model_validate(json.loads(stored.data))
    targets = (Target(version=version),)
    # Moved to where it is, it would forget where it was.
    return current if current.targets == targets else _replace(store, name, targets, current, stored.tag)


def rollback(store: Store, name: str) -> Alias:
    """Point `name` at what it meant before; a second rollback undoes the first."""
    read(store, name)
    stored = store.read(_key(name))
    current = Alias.model_validate(json.loads(stored.data))
    if current.previous is None:
        raise NotFound(f"the alias {name!r} has never moved", advice="there is nothing to roll back to")
    return _replace(store, name, current.previous, current, stored.tag)


def _replace(store: Store, name: str, targets: tuple[Target, ...], current: Alias, tag: str) -> Alias:
    value = _bytes(targets, previous=current.targets)
    try:
        store.replace(_key(name), value, tag)
    except Conflict as error:
        raise Conflict(f"the alias {name!r} was moved by somebody else just now", advice="look again") from error
    return Alias.model_validate(json.loads(value))


def _bytes(targets: tuple[Target, ...], previous: tuple[Target, ...] | None) -> bytes:
    alias = Alias(
        targets=targets,
        previous=previous,
        nonce=secrets.token_hex(8),
        updated=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    return canonical(alias.model_dump(mode="json"))


def _key(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise UserError(f"{name!r} cannot be an alias", advice="use lower-case letters, digits, dashes, dots and _")
    return f"aliases/{name}.json"
