"""Servers that go away, and replies that never arrive."""

from __future__ import annotations

import contextlib
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import pytest

from poise.errors import Conflict, StoreUnavailable
from poise.store import Store, open_store

from .conftest import S3, Server

OUTAGE_S = 4.0


class Relay:
    """A TCP relay before a server, that can be switched off and can break connections in mid-reply."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.cut_after: list[int] = []  # how much of the next replies to let through before breaking
        self.cuts = 0
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.switch_on()

    def switch_on(self) -> None:
        if self._listener.fileno() < 0:
            self._listener = socket.create_server(("127.0.0.1", self.port))
        self._accepting = threading.Thread(target=self._accept, args=(self._listener,))
        self._accepting.start()

    def switch_off(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        self.hang_up(*self._open)

    def hang_up(self, *connections: socket.socket) -> None:
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,)).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self.target) as server:
            self._open |= {client, server}
            sending = threading.Thread(target=self._pass_on, args=(client, server))
            sending.start()
            with contextlib.suppress(OSError):
                self._reply(server, client)
            self.hang_up(client, server)
            sending.join()
            self._open -= {client, server}

    def _pass_on(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                server.sendall(data)

    def _reply(self, server: socket.socket, client: socket.socket) -> None:
        left: int | None = None
        while data := server.recv(65536):
            if left is None and self.cut_after:
                left = self.cut_after.pop(0)
            if left is not None and left < len(data):
                self.cuts += 1
                client.sendall(data[:left])
                return
            client.sendall(data)
            if left is not None:
                left -= len(data)


@pytest.fixture(params=["moto", S3])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    if urlsplit(found.environment.get("AWS_ENDPOINT_URL", "")).scheme != "http":
        pytest.skip("these tests break connections, which needs an http endpoint in AWS_ENDPOINT_URL")
    return found


@pytest.fixture
def relay(server: Server) -> Iterator[Relay]:
    endpoint = urlsplit(server.environment["AWS_ENDPOINT_URL"])
    assert endpoint.hostname is not None
    relay = Relay((endpoint.hostname, endpoint.port or 80))
    yield relay
    relay.switch_off()


@pytest.fixture
def url(server: Server, relay: Relay, reach: Callable[[Server], str]) -> str:
    endpoint = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{relay.port}"}
    return reach(Server(server.url, {**server.environment, **endpoint}))


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
