"""A store in a folder."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from poise.errors import Conflict, NotFound
from poise.store import files
from poise.store.interface import RESERVED, Entry, OnBytes, Stored, check_key, check_prefix

_ABSENT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)
_FOLDER_IN_THE_WAY = (FileExistsError, NotADirectoryError, IsADirectoryError)


class FileStore:
    """One file an object; `.store/` in the root holds the temporaries and the lock files.

    A write goes to a temporary, is synced, and is renamed under a lock that all processes of this machine
    share, so compare-and-set is exact among them. Between machines it is as good as the file system's `flock`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root.expanduser().resolve()
        self._temporaries = self._root / RESERVED / "tmp"
        self._locks = self._root / RESERVED / "locks"
        self.url = self._root.as_uri()

    def __repr__(self) -> str:
        return f"FileStore({self.url!r})"

    def get(self, key: str) -> bytes:
        with self._reading(key) as path:
            return path.read_bytes()

    def read(self, key: str) -> Stored:
        data = self.get(key)
        return Stored(data, _tag(data))

    def put(self, key: str, data: bytes) -> None:
        self._write(key, [data], lambda there: None)

    def create(self, key: str, data: bytes) -> None:
        def check(there: bytes | None) -> None:
            if there not in (None, data):
                raise Conflict(f"{key} is already in {self.url}")

        self._write(key, [data], check, compare=True)

    def replace(self, key: str, data: bytes, tag: str) -> None:
        def check(there: bytes | None) -> None:
            if there is None or (there != data and _tag(there) != tag):
                raise Conflict(f"{key} in {self.url} has changed since it was read")

        self._write(key, [data], check, compare=True)

    def delete(self, key: str) -> None:
        path = self._path(key)
        with files.disk_errors(self._root), contextlib.suppress(*_ABSENT), self._locked(key):
            files.remove(path)

    def list(self, prefix: str = "") -> list[Entry]:
        with files.disk_errors(self._root):
            return sorted(self._entries(check_prefix(prefix)), key=lambda entry: entry.key)

    def upload(self, path: Path, key: str, on_bytes: OnBytes | None = None) -> None:
        with path.open("rb") as source:
            self._write(key, files.chunks(source, files.CHUNK, on_bytes), lambda there: None)

    def download(self, key: str, path: Path, on_bytes: OnBytes | None = None) -> None:
        with self._reading(key) as found:
            source = found.open("rb")
        with source, files.arriving(path) as file:
            file.writelines(files.chunks(source, files.CHUNK, on_bytes))

    def _path(self, key: str) -> Path:
        return self._root / check_key(key)

    @contextlib.contextmanager
    def _reading(self, key: str) -> Iterator[Path]:
        path = self._path(key)
        with files.disk_errors(self._root):
            try:
                yield path
            except _ABSENT as error:
                raise NotFound(f"{self.url} has no {key}") from error

    def _write(
        self, key: str, data: Iterable[bytes], check: Callable[[bytes | None], None], compare: bool = False
    ) -> None:
        """Publishes `data`, unless `check` raises on the value that is there (read only when `compare`)."""
        path = self._path(key)
        with files.disk_errors(self._root), files.temporary(self._temporaries, "") as file:
            file.writelines(data)
            files.sync(file)
            with self._locked(key):
                check(_bytes_at(path) if compare else None)
                try:
                    files.publish(file, path)
                except _FOLDER_IN_THE_WAY as error:
                    message = f"{key} in {self.url} is the folder of another key, or below one"
                    raise Conflict(message, advice="Choose a key that is no other key's folder.") from error

    @contextlib.contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        """Keys share 256 lock files, which are never removed: removing one would let two writers hold it."""
        files.make_folder(self._locks)
        with (self._locks / hashlib.sha256(key.encode()).hexdigest()[:2]).open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _entries(self, prefix: str) -> Iterator[Entry]:
        """Every file below "folder/", in no order; what disappears meanwhile is left out."""
        try:
            found = os.scandir(self._root / prefix)
        except _ABSENT:
            return
        with found:
            for item in found:
                key = f"{prefix}{item.name}"
                if item.is_dir(follow_symlinks=False):
                    if key != RESERVED:
                        yield from self._entries(f"{key}/")
                elif item.is_file():
                    with contextlib.suppress(FileNotFoundError):
                        status = item.stat()
                        yield Entry(key, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def _bytes_at(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except _ABSENT:
        return None


def _tag(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
