"""Checkpoints of a run: folders with a manifest, visible only when whole, the last two kept."""

from __future__ import annotations

import contextlib
from pathlib import Path

from poise.artifacts import transfer
from poise.artifacts.manifest import Manifest
from poise.artifacts.transfer import Check
from poise.errors import DigestMismatch, NotFound
from poise.specs import digest
from poise.store import Store

KEPT = 2


def save(store: Store, run: str, step: int, folder: Path, like: Manifest, check: Check = transfer.unchecked) -> None:
    """Store `folder` as the checkpoint of `step`; `like` lends the manifest everything but the files.

    `check` is called just before the manifest, as in `transfer.upload`.
    """
    files = transfer.describe(folder)
    manifest = like.model_copy(update={"kind": "checkpoint", "files": files, "metrics": {"step": float(step)}})
    prefix = f"runs/{run}/checkpoints/{step}"
    if step in steps(store, run):
        # The same step again, after a resume from before it: hide the old one before its files are overwritten.
        store.delete(f"{prefix}/{transfer.MANIFEST}")
    transfer.upload(store, prefix, folder, manifest, check=check)
    for old in steps(store, run)[:-KEPT]:
        delete(store, run, old)


def steps(store: Store, run: str) -> list[int]:
    """The steps of which there is a whole checkpoint, in order."""
    prefix = f"runs/{run}/checkpoints"
    found = [entry.key.split("/") for entry in store.list(prefix) if entry.key.endswith(f"/{transfer.MANIFEST}")]
    return sorted(int(parts[3]) for parts in found if len(parts) == 5 and parts[3].isdigit())


def restore(store: Store, run: str, into: Path) -> Path | None:
    """Download the newest checkpoint that is whole and undamaged to `into/checkpoint-<step>`; None without any.

    A damaged checkpoint is passed over for the one before it.
    """
    for step in reversed(steps(store, run)):
        prefix = f"runs/{run}/checkpoints/{step}"
        with contextlib.suppress(NotFound, DigestMismatch):
            data = store.get(f"{prefix}/{transfer.MANIFEST}")
            manifest = Manifest.from_bytes(data, digest(data))
            return transfer.download(store, prefix, manifest, into / f"checkpoint-{step}")
    return None


def delete(store: Store, run: str, step: int) -> None:
    """Remove a checkpoint, its manifest first."""
    prefix = f"runs/{run}/checkpoints/{step}"
    store.delete(f"{prefix}/{transfer.MANIFEST}")
    for entry in store.list(prefix):
        store.delete(entry.key)
