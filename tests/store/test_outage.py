"""Servers that go away, and replies that never arrive."""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from poise.errors import Conflict, StoreUnavailable
from poise.store import Store, open_store

from .relay import Relay

OUTAGE_S = 4.0


@pytest.fixture
def store(url: str) -> Store:
    return open_store(url, patience_s=60)


def test_every_operation_waits_for_a_server_that_is_away(store: Store, relay: Relay, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(secrets.token_bytes(20 * 1024 * 1024))
    for key in ("replaced", "there", "gone"):
        store.put(key, b"value")
    there = store.read("replaced")
    operations: list[Callable[[], object]] = [
        lambda: store.get("there"),
        lambda: store.put("put", b"1"),
        lambda: store.create("created", b"1"),
        lambda: store.replace("replaced", b"1", there.tag),
        lambda: store.delete("gone"),
        lambda: store.list(),
        lambda: store.upload(source, "uploaded"),
        lambda: store.download("there", tmp_path / "downloaded"),
    ]

    relay.switch_off()
    with ThreadPoolExecutor(len(operations)) as pool:
        waiting = [pool.submit(operation) for operation in operations]
        time.sleep(OUTAGE_S)
        relay.switch_on()
        for done in waiting:
            done.result()

    expected = ["created", "put", "replaced", "there", "uploaded"]
    assert [entry.key for entry in store.list()] == expected
    assert store.get("uploaded") == source.read_bytes()
    assert (tmp_path / "downloaded").read_bytes() == b"value"


def test_a_count_is_exact_over_an_outage(store: Store, relay: Relay, writer: ModuleType) -> None:
    store.create("count", json.dumps({"count": 0}).encode())
    done = 0
    stop = threading.Event()

    def work() -> None:
        nonlocal done
        while not stop.is_set():
            writer.increment(store, "count", 1)
            done += 1

    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        for _ in range(3):
            time.sleep(0.3)
            relay.switch_off()
            time.sleep(0.3)
            relay.switch_on()
        stop.set()
        working.result()

    assert done > 3
    assert json.loads(store.get("count"))["count"] == done


def test_a_creation_whose_reply_is_lost_is_a_success(store: Store, relay: Relay) -> None:
    relay.cut_after = [0, 0]
    store.create("models/m/1.json", b"mine")

    assert relay.cuts == 2
    assert store.get("models/m/1.json") == b"mine"
    with pytest.raises(Conflict):
        store.create("models/m/1.json", b"another's")


def test_a_replacement_whose_reply_is_lost_is_a_success(store: Store, relay: Relay) -> None:
    store.put("aliases/a.json", b"old")
    there = store.read("aliases/a.json")
    relay.cut_after = [0]
    store.replace("aliases/a.json", b"new", there.tag)

    assert relay.cuts == 1
    assert store.get("aliases/a.json") == b"new"


def test_a_refusal_whose_reply_is_lost_is_a_conflict(store: Store, relay: Relay) -> None:
    store.put("aliases/a.json", b"old")
    there = store.read("aliases/a.json")
    store.put("aliases/a.json", b"another's")
    relay.cut_after = [0]

    with pytest.raises(Conflict):
        store.replace("aliases/a.json", b"mine", there.tag)
    assert relay.cuts == 1
    assert store.get("aliases/a.json") == b"another's"


def test_a_download_continues_where_its_connection_broke(store: Store, relay: Relay, tmp_path: Path) -> None:
    data = secrets.token_bytes(20 * 1024 * 1024)
    store.put("large", data)
    relay.cut_after = [3_000_000, 5_000_000]

    store.download("large", tmp_path / "large")

    assert relay.cuts == 2
    assert (tmp_path / "large").read_bytes() == data


def test_an_upload_survives_a_broken_connection(store: Store, relay: Relay, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(secrets.token_bytes(40 * 1024 * 1024))
    relay.cut_after = [0]

    store.upload(source, "large", lambda _: relay.cut_after.append(0) if relay.cuts < 4 else None)

    assert relay.cuts >= 2
    assert store.get("large") == source.read_bytes()


def test_a_server_that_stays_away_is_reported(url: str, relay: Relay, tmp_path: Path) -> None:
    store = open_store(url, patience_s=0.3)
    store.put("a", b"1")
    there = store.read("a")
    relay.switch_off()

    operations: list[Callable[[], object]] = [
        lambda: store.get("a"),
        lambda: store.create("b", b"1"),
        lambda: store.replace("a", b"2", there.tag),
        lambda: store.list(),
        lambda: store.download("a", tmp_path / "a"),
    ]
    for operation in operations:
        with pytest.raises(StoreUnavailable, match="s3://poise") as caught:
            operation()
        assert "AWS_ENDPOINT_URL" in str(caught.value)
    assert not (tmp_path / "a").exists()
