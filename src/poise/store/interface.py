"""What every store does, and which keys it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

OnBytes = Callable[[int], None]

RESERVED = ".store"  # first segment of what a store keeps for itself
_MAX_SEGMENT = 255  # bytes; what file systems take as a name
_MAX_KEY = 900  # bytes; S3 takes 1024, the prefix of the store included


@dataclass(frozen=True)
class Stored:
    """A value, and the tag that names this state of it to `Store.replace`."""

    data: bytes
    tag: str


@dataclass(frozen=True)
class Entry:
    """One object in a listing; `size` in bytes."""

    key: str
    size: int
    modified: datetime


class Store(Protocol):
    """Objects under keys: relative paths with "/" between segments; anything else is a `ValueError`.

    Every operation is atomic: a reader sees the old value or the new one, whatever becomes of the writer.
    All raise `StoreUnavailable` when the server does not answer or refuses, or the disk is full.
    """

    @property
    def url(self) -> str:
        """What opens this store again; never holds credentials."""
        ...

    def get(self, key: str) -> bytes:
        """Raises `NotFound`."""
        ...

    def read(self, key: str) -> Stored:
        """Raises `NotFound`."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Overwrites."""
        ...

    def create(self, key: str, data: bytes) -> None:
        """Put if absent. Raises `Conflict` when other bytes are there; the same bytes are a success, since a
        lost reply makes a writer meet its own value. The bytes must tell writers apart if only one may win."""
        ...

    def replace(self, key: str, data: bytes, tag: str) -> None:
        """Compare and set. Raises `Conflict` when the value is no longer the one that `tag` was read with.

        Finding exactly `data` there is a success, as in `create`; and a tag can name the content alone. So the
        value must carry a nonce, fresh in each write.
        """
        ...

    def delete(self, key: str) -> None:
        """A missing key is fine."""
        ...

    def list(self, prefix: str = "") -> list[Entry]:
        """All objects below the folder `prefix`, sorted by key."""
        ...

    def upload(self, path: Path, key: str, on_bytes: OnBytes | None = None) -> None:
        """Stores a file of any size in bounded memory; overwrites. `on_bytes` gets each further count of bytes."""
        ...

    def download(self, key: str, path: Path, on_bytes: OnBytes | None = None) -> None:
        """Writes an object of any size to `path`, which appears when it is whole. Raises `NotFound`."""
        ...


def check_key(key: str) -> str:
    """The key itself. Raises `ValueError` for one that could leave the store or that some backend would change."""
    segments = key.split("/")
    if not key or any(segment in ("", ".", "..") for segment in segments):
        raise ValueError(f"a key is a relative path without empty, '.' or '..' segments, not {key!r}")
    if segments[0] == RESERVED:
        raise ValueError(f"keys below {RESERVED}/ are the store's own: {key!r}")
    if not key.isprintable() or "\\" in key:
        raise ValueError(f"a key has no backslash and no unprintable character: {key!r}")
    if len(key.encode()) > _MAX_KEY or any(len(segment.encode()) > _MAX_SEGMENT for segment in segments):
        raise ValueError(f"a key has at most {_MAX_KEY} bytes, each segment {_MAX_SEGMENT}: {key[:80]!r}...")
    return key


def check_prefix(prefix: str) -> str:
    """A folder as "" or "folder/", ready to compare keys with."""
    return f"{check_key(prefix.removesuffix('/'))}/" if prefix else ""
