"""From what a user names to bytes on this machine: pin a reference by digest or commit, then materialize it.

A pinned reference is text of the form `SCHEME:TARGET@DIGEST[?PARAMETERS]`::

    builtin:tiny@sha256-HEX      path:/ABSOLUTE@sha256-HEX      artifact:sha256-HEX
    hf:ID@COMMIT                 hf:datasets/ID@COMMIT
    s3://BUCKET/KEY              objects outside the store have no digest that can be asked for beforehand
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from poise import builtin
from poise.artifacts import registry, transfer
from poise.artifacts.transfer import Progress, silent
from poise.errors import DataError, DigestMismatch, NotFound, SpecError, StoreUnavailable
from poise.settings import Hub
from poise.specs import Reference, digest, tree_digest
from poise.store import Store, open_store

Lookup = Callable[[str], str]


def pin(reference: Reference, folder: Path, store: Store, artifact_of_run: Lookup, hub: Hub, *, is_data: bool) -> str:
    """Name what `reference` means now so that it can never mean anything else.

    Args:
        folder: what relative paths are relative to.
        artifact_of_run: the artifact id that a run (by name) has made.
        is_data: whether a hub id is that of a data set.

    Raises `NotFound` or `DataError` for what does not exist.
    """
    query = str(reference).partition("?")[2]
    suffix = f"?{query}" if query else ""
    match reference.scheme:
        case "path":
            path = find(reference, folder)
            return f"path:{path}@{_path_digest(path)}{suffix}"
        case "builtin":
            return f"builtin:{reference.target}@{tree_digest(find(reference, folder))}{suffix}"
        case "artifact":
            transfer.read_manifest(store, reference.target)
            return f"artifact:{reference.target}"
        case "model":
            return f"artifact:{registry.get(store, reference.target).version.artifact}"
        case "run":
            return f"artifact:{artifact_of_run(reference.target)}"
        case "hf":
            return f"hf:{'datasets/' if is_data else ''}{_commit(reference.target, hub, is_data=is_data)}{suffix}"
        case "step":
            raise SpecError(f"{reference} only has a meaning inside a Pipeline")
    return str(reference)


def materialize(store: Store, pinned: str, cache: Path, progress: Progress = silent) -> Path:
    """The local file or folder of a pinned reference, downloaded to `cache` where it is not local already.

    Raises `DigestMismatch` or `DataError` where the content is not what was pinned.
    """
    name, _, _ = pinned.partition("?")
    scheme, _, rest = name.partition(":")
    if scheme == "artifact":
        return transfer.download_artifact(store, rest, cache / "artifacts" / rest, progress)
    if scheme == "hf":
        return _from_hub(rest)
    if scheme in {"s3", "gs", "az"}:
        return _from_bucket(name, cache)
    path, expected = local_path(pinned), rest.rpartition("@")[2]
    if path is None or not path.exists():
        raise DataError(
            f"{path} is gone", advice="it was there when the run was submitted: put it back, or submit anew"
        )
    if (actual := tree_digest(path)) != expected:
        raise DigestMismatch(
            f"{path} has changed since the run was submitted (expected {expected}, found {actual})",
            advice="submit the run again to use the file as it is now",
        )
    return path


def local_path(pinned: str) -> Path | None:
    """Where a pinned reference lies on this machine already, unchecked; None for what has to be fetched."""
    scheme, _, rest = pinned.partition("?")[0].partition(":")
    target = rest.rpartition("@")[0]
    if scheme == "builtin":
        return builtin.path(target)
    return Path(target) if scheme == "path" else None


def find(reference: Reference, folder: Path, field: str = "") -> Path:
    """The file or folder of a `path` or `builtin` reference; raises `DataError` or `NotFound`, which name `field`."""
    where = f"{field}: " if field else ""
    if reference.scheme == "builtin":
        try:
            return builtin.path(reference.target)
        except NotFound as error:
            raise NotFound(f"{where}{error.message}", advice=error.advice) from error
    path = (folder / reference.target).expanduser().resolve()
    if path.exists():
        return path
    beside = [item.name for item in path.parent.glob("*")] if path.parent.is_dir() else []
    near = get_close_matches(path.name, beside, n=1)
    advice = f"did you mean {path.parent / near[0]}?" if near else f"paths are relative to the file; tried {path}"
    raise DataError(f"{where}{reference.target}: no such file or folder", advice=advice)


def _path_digest(path: Path) -> str:
    try:
        return tree_digest(path)
    except PermissionError as error:
        raise DataError(f"{error.filename}: permission denied", advice="make it readable to you") from error


def _commit(target: str, hub: Hub, *, is_data: bool) -> str:
    identifier, _, revision = target.partition("@")
    if re.fullmatch(r"[0-9a-f]{40}", revision):
        return target
    kind = "datasets" if is_data else "models"
    url = f"{hub.url}/api/{kind}/{identifier}/revision/{revision or 'main'}"
    headers = {"Authorization": f"Bearer {hub.token}"} if hub.token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=20) as reply:
            commit: str = json.load(reply)["sha"]
    except urllib.error.HTTPError as error:
        if error.code == 429 or error.code >= 500:
            raise StoreUnavailable(f"the hub at {hub.url} answers {error.code}", advice="try again later") from error
        advice = "check the name and the revision; a gated or private one needs HF_TOKEN"
        raise NotFound(f"the hub has no hf:{target} that can be read ({error.code})", advice=advice) from error
    except (OSError, ValueError, KeyError) as error:
        raise StoreUnavailable(
            f"the hub at {hub.url} does not answer, so hf:{target} cannot be pinned",
            advice="go online, set HF_ENDPOINT to a mirror, or name the 40-digit commit: hf:ID@COMMIT",
        ) from error
    return f"{identifier}@{commit}"


def _from_hub(target: str) -> Path:
    # Only the worker's environments have the hub's client.
    from huggingface_hub import snapshot_download

    identifier, _, commit = target.removeprefix("datasets/").partition("@")
    kind = "dataset" if target.startswith("datasets/") else "model"
    ignored = ["*.bin", "*.pt", "*.pth", "*.pickle", "*.gguf", "*.onnx", "original/*"]
    try:
        return Path(snapshot_download(identifier, revision=commit, repo_type=kind, ignore_patterns=ignored))
    except (OSError, ValueError) as error:
        raise StoreUnavailable(
            f"hf:{target} cannot be downloaded: {error}", advice="go online and try again"
        ) from error


def _from_bucket(url: str, cache: Path) -> Path:
    parent, _, name = url.rpartition("/")
    source = open_store(parent)
    target = cache / "objects" / digest(url.encode()) / name
    entries = [entry.key for entry in source.list(name)]
    if not entries:
        source.download(name, target)
        return target
    for key in entries:
        source.download(key, target.parent / key)
    return target
