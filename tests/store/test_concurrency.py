"""Conditional writes under eight writers at once: processes, or threads where the store is this process's own."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from poise.store import open_store

from .conftest import S3, Server

WRITERS = 8
Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture(params=["file", S3])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path, reach: Callable[[Server], str]) -> str:
    return str(tmp_path / "store") if request.param == "file" else reach(request.getfixturevalue("s3"))


def outputs(processes: list[subprocess.Popen[str]]) -> list[str]:
    """What each process printed after "ready"."""
    texts = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return [text.removeprefix("ready\n") for text in texts]


def test_processes_lose_no_increment(shared_url: str, start_writer: Start) -> None:
    store = open_store(shared_url)
    store.create("count", json.dumps({"count": 0}).encode())

    outputs([start_writer("increment", shared_url, "count", 40) for _ in range(WRITERS)])

    assert json.loads(store.get("count"))["count"] == WRITERS * 40


def test_of_several_processes_one_creates_a_key(shared_url: str, start_writer: Start) -> None:
    printed = outputs([start_writer("claim", shared_url, "keys", 30, f"writer {n}") for n in range(WRITERS)])

    store = open_store(shared_url)
    winners = {key: f"writer {n}" for n, text in enumerate(printed) for key in json.loads(text)}
    assert Counter(key for text in printed for key in json.loads(text)) == Counter(winners.keys())
    assert {entry.key: store.get(entry.key).decode() for entry in store.list()} == winners
    assert len(winners) == 30


def test_threads_lose_no_increment(writer: ModuleType) -> None:
    store = open_store("memory:")
    store.create("count", json.dumps({"count": 0}).encode())

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda _: writer.increment(store, "count", 100), range(WRITERS)))

    assert json.loads(store.get("count"))["count"] == WRITERS * 100


def test_of_several_threads_one_creates_a_key(writer: ModuleType) -> None:
    store = open_store("memory:")

    with ThreadPoolExecutor(WRITERS) as pool:
        won = list(pool.map(lambda n: writer.claim(store, "keys", 100, f"writer {n}"), range(WRITERS)))

    assert sorted(key for keys in won for key in keys) == [entry.key for entry in store.list()]
    assert len(store.list()) == 100
