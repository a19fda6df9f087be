"""The registry: immutable, numbered versions of named models. The next free number is taken by put-if-absent."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Literal

from poise.artifacts.manifest import Manifest, Record
from poise.artifacts.task import Kind
from poise.errors import Conflict, NotFound
from poise.specs import canonical
from poise.store import Store

SERVED_NAME = re.compile(r"([a-z0-9](?:[-a-z0-9._]{0,50}[a-z0-9])?)@([1-9][0-9]{0,8})")


class Version(Record):
    """One published version, as stored in `models/<name>/<n>.json`."""

    schema_version: Literal[1] = 1
    kind: Kind
    artifact: str
    base: str
    quantization: str | None = None
    rank: int | None = None
    probe: str | None = None
    created: str = ""


@dataclass(frozen=True)
class Published:
    """A version and the name it is served by."""

    name: str
    number: int
    version: Version

    @property
    def served_name(self) -> str:
        return f"{self.name}@{self.number}"


def parse_served_name(text: str) -> tuple[str, int] | None:
    """`NAME@N` in its parts; None for anything else, path-like names among it."""
    match = SERVED_NAME.fullmatch(text)
    return (match.group(1), int(match.group(2))) if match else None


def publish(store: Store, name: str, manifest: Manifest) -> Published:
    """Publish an artifact as the next version of `name`; the same artifact again returns the version it has."""
    probe = manifest.file("probe.json")
    if manifest.kind == "checkpoint":
        raise ValueError("a checkpoint is never published")
    version = Version(
        kind=manifest.kind,
        artifact=manifest.id,
        base=manifest.base,
        quantization=manifest.quantization,
        rank=manifest.rank,
        probe=probe.sha256 if probe else None,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    while True:
        known = versions(store, name)
        for item in known:
            if item.version.artifact == version.artifact:
                return item
        number = known[-1].number + 1 if known else 1
        try:
            store.create(f"models/{name}/{number}.json", canonical(version.model_dump(mode="json")))
        except Conflict:
            continue  # another publisher took this number: look again
        return Published(name, number, version)


def versions(store: Store, name: str) -> list[Published]:
    """The versions of a model, oldest first; empty where there is no such model."""
    found = []
    for entry in store.list(f"models/{name}"):
        stem = entry.key.rsplit("/", 1)[-1].removesuffix(".json")
        if stem.isdigit():
            found.append(Published(name, int(stem), _read(store, entry.key)))
    return sorted(found, key=lambda item: item.number)


def names(store: Store) -> list[str]:
    """The names of all published models, sorted."""
    return sorted({entry.key.split("/")[1] for entry in store.list("models")})


def get(store: Store, served_name: str) -> Published:
    """The version called `NAME@N`; raises `NotFound` with what there is instead."""
    parsed = parse_served_name(served_name)
    if parsed is None:
        raise NotFound(f"{served_name!r} is no version", advice="versions are called NAME@N, for example sums@1")
    name, number = parsed
    try:
        return Published(name, number, _read(store, f"models/{name}/{number}.json"))
    except NotFound as error:
        raise NotFound(f"there is no version {served_name}", advice=_instead(store, name)) from error


def _read(store: Store, key: str) -> Version:
    return Version.model_validate(json.loads(store.get(key)))


def _instead(store: Store, name: str) -> str:
    if known := versions(store, name):
        return f"versions of {name}: {', '.join(item.served_name for item in known)}"
    near = get_close_matches(name, names(store), n=3)
    return f"did you mean {' or '.join(near)}?" if near else "`poise models` lists what is published"
