"""Folders to and from the store: files first, manifest last; every digest checked on the way down."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from poise.artifacts.manifest import File, Manifest
from poise.errors import DigestMismatch, NotFound
from poise.specs import digest, file_digest
from poise.store import Store

MANIFEST = "manifest.json"
Progress = Callable[[str, int, int], None]
Check = Callable[[], None]


def silent(what: str, done: int, of: int) -> None:
    """The progress of whoever does not want to hear of it."""


def unchecked() -> None:
    """The check of whoever needs none."""


def describe(folder: Path) -> tuple[File, ...]:
    """Path, size and sha256 of every file below `folder`, sorted by path."""
    files = sorted(item for item in folder.rglob("*") if item.is_file())
    return tuple(
        File(path=item.relative_to(folder).as_posix(), size=item.stat().st_size, sha256=file_digest(item))
        for item in files
    )


def upload(
    store: Store, prefix: str, folder: Path, manifest: Manifest, progress: Progress = silent, check: Check = unchecked
) -> None:
    """Store the manifest's files, then the manifest: until then no reader takes the folder for a result.

    `check` is called just before the manifest and raises where this worker may not write any more.
    """
    total = sum(file.size for file in manifest.files)
    done = 0
    for file in manifest.files:
        store.upload(folder / file.path, f"{prefix}/{file.path}")
        done += file.size
        progress("upload", done, total)
    check()
    store.create(f"{prefix}/{MANIFEST}", manifest.to_bytes())


def upload_artifact(
    store: Store, folder: Path, manifest: Manifest, progress: Progress = silent, check: Check = unchecked
) -> str:
    """Store an artifact under its own digest and return its id."""
    upload(store, f"artifacts/{manifest.id}", folder, manifest, progress, check)
    return manifest.id


def read_manifest(store: Store, artifact: str) -> Manifest:
    """The manifest of an artifact; raises `NotFound`, or `DigestMismatch` where somebody has changed it."""
    try:
        data = store.get(f"artifacts/{artifact}/{MANIFEST}")
    except NotFound as error:
        raise NotFound(f"there is no artifact {artifact} in {store.url}") from error
    return Manifest.from_bytes(data, artifact)


def read_file(store: Store, artifact: str, path: str) -> bytes | None:
    """The content of one small file of an artifact, checked; None where the artifact has no such file."""
    file = read_manifest(store, artifact).file(path)
    if file is None:
        return None
    data = store.get(f"artifacts/{artifact}/{path}")
    if digest(data) != file.sha256:
        raise DigestMismatch(f"artifacts/{artifact}/{path} was changed in the store", advice=_RESTORE)
    return data


def download(store: Store, prefix: str, manifest: Manifest, target: Path, progress: Progress = silent) -> Path:
    """Bring a stored folder to `target`, which appears whole or not at all; an existing one is kept.

    Raises `DigestMismatch` naming the file whose bytes are not those of the manifest.
    """
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name[:40]}.", dir=target.parent))
    try:
        _fetch(store, prefix, manifest, partial, progress)
        partial.chmod(0o755)
        _move(partial, target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _fetch(store: Store, prefix: str, manifest: Manifest, folder: Path, progress: Progress) -> None:
    total = sum(file.size for file in manifest.files)
    done = 0
    for file in manifest.files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            store.download(f"{prefix}/{file.path}", path)
        except NotFound as error:
            raise DigestMismatch(f"{prefix}/{file.path} is gone from the store", advice=_RESTORE) from error
        if (actual := file_digest(path)) != file.sha256:
            raise DigestMismatch(
                f"{prefix}/{file.path} was changed in the store: expected {file.sha256}, found {actual}",
                advice=_RESTORE,
            )
        done += file.size
        progress("download", done, total)


def _move(partial: Path, target: Path) -> None:
    try:
        partial.rename(target)
    except OSError:
        if not target.is_dir():  # else another process was first, with the same digest
            raise


_RESTORE = "restore it from a backup, or make the artifact again"


def download_artifact(store: Store, artifact: str, target: Path, progress: Progress = silent) -> Path:
    """Bring an artifact to the folder `target`, checked file by file."""
    return download(store, f"artifacts/{artifact}", read_manifest(store, artifact), target, progress)
