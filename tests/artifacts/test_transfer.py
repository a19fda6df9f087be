"""Nothing is visible until its manifest is, and nothing that was changed is ever used."""

from pathlib import Path

import pytest

from poise.artifacts import transfer
from poise.artifacts.manifest import Manifest
from poise.errors import DigestMismatch, LeaseLost, NotFound
from poise.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "made"
    (source / "deep").mkdir(parents=True)
    (source / "adapter.safetensors").write_bytes(b"weights" * 1000)
    (source / "deep/config.json").write_text("{}")
    return source


def manifest(folder: Path) -> Manifest:
    return Manifest(
        kind="adapter",
        method="sft",
        run="default.sums.0a1b2c3d",
        spec="sha256-0",
        code="0",
        inputs={"base": "builtin:tiny@sha256-1"},
        base="builtin:tiny@sha256-1",
        files=transfer.describe(folder),
    )


def test_an_artifact_comes_back_as_it_went(store: Store, folder: Path, tmp_path: Path) -> None:
    artifact = transfer.upload_artifact(store, folder, manifest(folder))
    back = transfer.download_artifact(store, artifact, tmp_path / "back")
    assert transfer.describe(back) == transfer.describe(folder)
    assert transfer.read_manifest(store, artifact) == manifest(folder)


def test_progress_counts_bytes_up_to_the_whole(store: Store, folder: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    transfer.upload_artifact(store, folder, manifest(folder), lambda *event: seen.append(event))
    assert seen[-1] == ("upload", 7002, 7002)


def test_a_worker_that_lost_its_lease_leaves_no_manifest(store: Store, folder: Path) -> None:
    def lost() -> None:
        raise LeaseLost("gone")

    with pytest.raises(LeaseLost):
        transfer.upload_artifact(store, folder, manifest(folder), check=lost)
    with pytest.raises(NotFound):
        transfer.read_manifest(store, manifest(folder).id)


@pytest.mark.parametrize("path", ["adapter.safetensors", "deep/config.json"])
def test_a_changed_file_is_refused_and_nothing_is_left_behind(
    store: Store, folder: Path, tmp_path: Path, path: str
) -> None:
    artifact = transfer.upload_artifact(store, folder, manifest(folder))
    store.put(f"artifacts/{artifact}/{path}", b"something else")
    with pytest.raises(DigestMismatch, match=path):
        transfer.download_artifact(store, artifact, tmp_path / "cache/back")
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_missing_file_is_refused(store: Store, folder: Path, tmp_path: Path) -> None:
    artifact = transfer.upload_artifact(store, folder, manifest(folder))
    store.delete(f"artifacts/{artifact}/deep/config.json")
    with pytest.raises(DigestMismatch, match="is gone from the store"):
        transfer.download_artifact(store, artifact, tmp_path / "back")


def test_a_changed_manifest_is_refused(store: Store, folder: Path) -> None:
    artifact = transfer.upload_artifact(store, folder, manifest(folder))
    changed = manifest(folder).model_copy(update={"rank": 99})
    store.put(f"artifacts/{artifact}/manifest.json", changed.to_bytes())
    with pytest.raises(DigestMismatch, match="manifest"):
        transfer.read_manifest(store, artifact)


def test_one_small_file_is_checked_too(store: Store, folder: Path) -> None:
    artifact = transfer.upload_artifact(store, folder, manifest(folder))
    assert transfer.read_file(store, artifact, "deep/config.json") == b"{}"
    assert transfer.read_file(store, artifact, "absent") is None
    store.put(f"artifacts/{artifact}/deep/config.json", b"[]")
    with pytest.raises(DigestMismatch):
        transfer.read_file(store, artifact, "deep/config.json")


def test_a_manifest_written_by_a_newer_version_can_be_read(folder: Path) -> None:
    import json

    from poise.specs import canonical, digest

    newer = canonical({**json.loads(manifest(folder).to_bytes()), "colour": "green"})
    assert Manifest.from_bytes(newer, digest(newer)).method == "sft"
