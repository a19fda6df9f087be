"""Refusals, broken set-ups and secrets of remote stores."""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from poise.errors import PoiseError, StoreUnavailable
from poise.store import open_store

from .conftest import S3, Server

SECRET = "wJalrXUtnFEMI-a-secret-that-must-not-show"


@pytest.fixture(params=["moto", S3])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def refusing() -> Iterator[Callable[[int, str], Server]]:
    """Starts a server that answers everything with one status and one error code, and quotes the credentials."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as httpd:
        thread = Thread(target=httpd.serve_forever, args=(0.05,))
        thread.start()

        def start(status: int, code: str) -> Server:
            Refusal.status, Refusal.code = status, code
            keys = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": SECRET}
            return Server("s3://poise", {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{httpd.server_port}", **keys})

        yield start
        httpd.shutdown()
        thread.join()


class Refusal(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    status: int
    code: str

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = f"<Error><Code>{self.code}</Code><CanonicalRequest>{SECRET}</CanonicalRequest></Error>".encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = do_DELETE = answer

    def log_message(self, *_: object) -> None:
        pass


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, "SignatureDoesNotMatch", "refused access"),
        (401, "Unauthorized", "refused access"),
        (400, "ExpiredToken", r"is not available: .*400 Bad Request \(ExpiredToken\)"),
        (507, "XMinioStorageFull", r"is not available: .*507 Insufficient Storage \(XMinioStorageFull\)"),
        (404, "NoSuchBucket", "there is no such bucket"),
        (404, "ContainerNotFound", "there is no such bucket"),
    ],
)
def test_a_refusal_is_explained_without_secrets(
    refusing: Callable[[int, str], Server],
    reach: Callable[[Server], str],
    status: int,
    code: str,
    said: str,
) -> None:
    store = open_store(reach(refusing(status, code)), patience_s=0.5)

    for operation in (
        lambda: store.get("a"),
        lambda: store.put("a", b"1"),
        lambda: store.create("a", b"1"),
        lambda: store.replace("a", b"1", '{"e_tag": "x"}'),
        lambda: store.delete("a"),
        lambda: store.list(),
    ):
        with pytest.raises(StoreUnavailable, match=said) as caught:
            operation()
        assert caught.value.advice
        assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_a_store_shows_no_secret(refusing: Callable[[int, str], Server], reach: Callable[[Server], str]) -> None:
    store = open_store(reach(refusing(500, "InternalError")))

    assert SECRET not in repr(store) + store.url
    with pytest.raises(TypeError, match="open it again by its url"):
        pickle.dumps(store)


def test_missing_credentials_are_asked_for(reach: Callable[[Server], str]) -> None:
    nobody = {"AWS_METADATA_ENDPOINT": "http://127.0.0.1:1"}
    store = open_store(reach(Server("s3://poise", nobody)), patience_s=0.5)

    with pytest.raises(StoreUnavailable, match="AWS_ACCESS_KEY_ID"):
        store.get("a")


def test_a_missing_bucket_is_no_missing_key(server: Server, reach: Callable[[Server], str]) -> None:
    store = open_store(reach(Server("s3://no-such-bucket", server.environment)), patience_s=5)

    for operation in (lambda: store.get("a"), lambda: store.create("a", b"1"), lambda: store.list()):
        with pytest.raises(StoreUnavailable, match=r"s3://no-such-bucket/.*: there is no such bucket"):
            operation()


@pytest.mark.slow
def test_a_wrong_secret_is_refused(s3: Server, reach: Callable[[Server], str]) -> None:
    store = open_store(reach(Server(s3.url, {**s3.environment, "AWS_SECRET_ACCESS_KEY": SECRET})))

    for operation in (lambda: store.get("a"), lambda: store.create("a", b"1"), lambda: store.list()):
        with pytest.raises(PoiseError, match="refused access") as caught:
            operation()
        assert SECRET not in "".join(traceback.format_exception(caught.value))


def test_more_objects_than_one_page_are_listed(server: Server, reach: Callable[[Server], str]) -> None:
    store = open_store(reach(server))
    keys = [f"metrics/{number:04}" for number in range(1050)]

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.put(key, b"1"), keys))

    assert [entry.key for entry in store.list("metrics")] == keys
