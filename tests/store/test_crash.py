"""Writers that are killed at any moment."""

from __future__ import annotations

import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from poise.store import Store, open_store

from .conftest import Server

WRITERS = 4


def kill_soon(writers: list[subprocess.Popen[str]]) -> None:
    """Lets each work for a moment, from no time to half a second, then sends SIGKILL."""
    for writer in writers:
        assert writer.stdout is not None and writer.stdout.readline() == "ready\n"
    for writer in writers:
        time.sleep(random.uniform(0, 0.5 / WRITERS))
        writer.kill()
        writer.wait()


def damaged(store: Store, is_sealed: Callable[[bytes], bool]) -> list[str]:
    return [entry.key for entry in store.list() if not is_sealed(store.get(entry.key))]


@pytest.mark.parametrize(
    ("backend", "rounds"),
    [
        ("file", 5),
        pytest.param("file", 25, marks=pytest.mark.slow),
        pytest.param("s3", 15, marks=pytest.mark.slow),
    ],
)
def test_what_killed_writers_leave_is_whole(
    backend: str,
    rounds: int,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    reach: Callable[[Server], str],
    start_writer: Callable[..., subprocess.Popen[str]],
    writer: ModuleType,
) -> None:
    url = str(tmp_path / "store") if backend == "file" else reach(request.getfixturevalue(backend))
    store = open_store(url)

    for _ in range(rounds):
        kill_soon([start_writer("churn", url, tmp_path) for _ in range(WRITERS)])
        assert damaged(store, writer.is_sealed) == []

    keys = [entry.key for entry in store.list()]
    assert keys, "the writers were killed before they wrote anything"
    assert all(key.startswith("churn/") for key in keys)
    for key in keys:
        store.replace(key, b"a lock that outlived its holder would stop this", store.read(key).tag)


def test_temporaries_of_killed_writers_are_swept(
    tmp_path: Path, start_writer: Callable[..., subprocess.Popen[str]]
) -> None:
    root = tmp_path / "store"
    while not (left := [*root.glob(".store/tmp/*")]):
        kill_soon([start_writer("churn", root, tmp_path) for _ in range(WRITERS)])
    fresh = root / ".store/tmp" / "fresh"
    fresh.write_bytes(b"of a writer that lives")
    for path in left:
        os.utime(path, (0, time.time() - 3 * 24 * 3600))

    open_store(str(root)).put("a", b"1")

    assert [path.name for path in root.glob(".store/tmp/*")] == ["fresh"]
