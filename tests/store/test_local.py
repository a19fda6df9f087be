"""What only a store in a folder can meet: full disks, file modes, foreign files."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from poise.errors import Conflict, StoreUnavailable
from poise.store import open_store

NOBODY = 65534
MIB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "poise-test", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk to fill is a tmpfs, which only a root that may mount can make")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def no_rights() -> Iterator[None]:
    """Root may write everywhere, so it becomes nobody for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(NOBODY)
    yield
    os.seteuid(user)


def test_a_full_disk_is_named_and_nothing_half_written_is_seen(small_disk: Path, tmp_path: Path) -> None:
    store = open_store(str(small_disk / "store"))
    large = tmp_path / "large"
    large.write_bytes(bytes(8 * MIB))
    store.put("a", b"old")
    tag = store.read("a").tag

    for operation in (
        lambda: store.put("a", bytes(8 * MIB)),
        lambda: store.create("b", bytes(8 * MIB)),
        lambda: store.replace("a", bytes(8 * MIB), tag),
        lambda: store.upload(large, "c"),
    ):
        with pytest.raises(StoreUnavailable, match=rf"the disk under {small_disk}/store is full \(\d+ bytes free\)"):
            operation()
        assert [(entry.key, entry.size) for entry in store.list()] == [("a", 3)]
        assert store.get("a") == b"old"

    store.put("a", b"there is room again")
    assert store.get("a") == b"there is room again"


def test_a_disk_without_any_room_is_named(small_disk: Path) -> None:
    store = open_store(str(small_disk / "store"))
    with pytest.raises(OSError, match="No space left"), (small_disk / "filler").open("wb") as file:
        while True:
            file.write(bytes(MIB))
            file.flush()

    with pytest.raises(StoreUnavailable, match=r"is full \(0 bytes free\)"):
        store.put("a", b"1")
    assert store.list() == []


def test_a_download_to_a_full_disk_names_that_disk(small_disk: Path, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    store.put("large", bytes(8 * MIB))

    with pytest.raises(StoreUnavailable, match=rf"the disk under {small_disk} is full"):
        store.download("large", small_disk / "large")
    assert list(small_disk.iterdir()) == []


def test_a_folder_without_permission_is_named(tmp_path: Path, no_rights: None) -> None:
    with pytest.raises(StoreUnavailable, match=f"no permission to use {tmp_path}"):
        open_store(str(tmp_path / "store")).put("a", b"1")


def test_a_file_where_the_root_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("not a folder")

    with pytest.raises(StoreUnavailable, match=f"cannot use {tmp_path}/store"):
        open_store(str(tmp_path / "store")).put("a", b"1")


def test_a_key_cannot_be_the_folder_of_another(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    store.put("a/b", b"1")

    for key in ("a", "a/b/c"):
        with pytest.raises(Conflict, match="folder of another key"):
            store.put(key, b"2")
    assert [entry.key for entry in store.list()] == ["a/b"]


def test_opening_and_reading_make_no_folder(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))

    assert store.list() == store.list("runs") == []
    assert list(tmp_path.iterdir()) == []


def test_a_relative_path_stays_what_it_was_when_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = open_store("store")
    store.put("a", b"1")
    monkeypatch.chdir("/")

    assert store.get("a") == b"1"
    assert store.url == f"file://{tmp_path}/store"


def test_files_have_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        open_store(str(tmp_path / "store")).put("a", b"1")
    finally:
        os.umask(old)

    assert (tmp_path / "store" / "a").stat().st_mode & 0o777 == 0o640


def test_a_download_sweeps_what_killed_ones_left(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    store.put("a", b"1")
    stale, fresh = tmp_path / ".a.part-stale", tmp_path / ".a.part-fresh"
    for path in (stale, fresh):
        path.write_bytes(b"half")
    os.utime(stale, (0, 0))

    store.download("a", tmp_path / "a")

    assert not stale.exists()
    assert fresh.exists()
