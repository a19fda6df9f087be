"""Files that appear whole or not at all, on disks that may be full."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from poise.errors import StoreUnavailable
from poise.store.interface import OnBytes

CHUNK = 8 * 1024 * 1024  # bytes moved at a time
_STALE_AFTER_S = 24 * 3600.0  # longer than any pause between two writes of a living process
_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextlib.contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turns what the operating system says about files under `folder` into `StoreUnavailable`."""
    try:
        yield
    except PermissionError as error:
        message = f"no permission to use {error.filename or folder}"
        raise StoreUnavailable(message, advice="Check who owns the folder, and its mode.") from error
    except OSError as error:
        if error.errno not in _FULL:
            raise StoreUnavailable(f"cannot use {folder}: {error}") from error
        message = f"the disk under {folder} is full ({_free_bytes(folder)} bytes free)"
        raise StoreUnavailable(message, advice="Free some space there, then try again.") from error


def _free_bytes(folder: Path) -> int:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    return shutil.disk_usage(existing).free


def make_folder(folder: Path) -> None:
    """Makes a folder and its parents so that they outlast a power cut."""
    missing = [parent for parent in (folder, *folder.parents) if not parent.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        _sync_folder(made.parent)


def remove(path: Path) -> None:
    """Raises `FileNotFoundError`."""
    path.unlink()
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def temporary(folder: Path, prefix: str) -> Iterator[BinaryIO]:
    """A new file that is gone afterwards unless the body gave it to `publish`."""
    make_folder(folder)
    _sweep(folder, prefix)
    path = folder / f"{prefix}{secrets.token_hex(8)}"
    try:
        with path.open("xb") as file:
            yield file
    finally:
        path.unlink(missing_ok=True)


def _sweep(folder: Path, prefix: str) -> None:
    """Removes the temporaries of killed writers."""
    limit = time.time() - _STALE_AFTER_S
    with os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):
                if entry.name.startswith(prefix) and entry.stat().st_mtime < limit:
                    Path(entry.path).unlink()


def sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def publish(file: BinaryIO, path: Path) -> None:
    """Renames a temporary that was synced, on the same disk, over `path`."""
    make_folder(path.parent)
    Path(file.name).replace(path)
    _sync_folder(path.parent)


@contextlib.contextmanager
def arriving(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which becomes `path` when the body has ended well."""
    prefix = f".{path.name[:50]}.part-"
    with disk_errors(path.parent), temporary(path.parent, prefix) as file:
        yield file
        sync(file)
        publish(file, path)


def chunks(source: BinaryIO, size: int, on_bytes: OnBytes | None) -> Iterator[bytes]:
    while chunk := source.read(size):
        yield chunk
        if on_bytes:
            on_bytes(len(chunk))
