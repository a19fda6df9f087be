from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from poise.errors import InternalError, NotFound, PoiseError, StoreUnavailable, UserError, WorkerFailed
from poise.serving import process
from poise.serving.admin import Admin, wait_ready
from poise.serving.process import Child


def admin(status: int, body: object = None) -> Admin:
    return Admin("http://server", httpx.MockTransport(lambda request: httpx.Response(status, json=body)))


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    started = process.start("tiny", [sys.executable, "-c", "import time; time.sleep(60)"], {}, tmp_path / "tiny.log")
    yield started
    process.stop([started], grace=0)


def nobody(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


def test_a_server_is_ready_when_it_says_so() -> None:
    assert admin(200).is_ready()
    assert not admin(503).is_ready()
    assert not Admin("http://server", httpx.MockTransport(nobody)).is_ready()


def test_models_are_listed_by_name_alone() -> None:
    assert admin(200, {"data": [{"id": "tiny", "root": "/secret/path"}, {"id": "sums@1"}]}).models() == [
        "tiny",
        "sums@1",
    ]


@pytest.mark.parametrize(
    ("status", "kind"), [(400, UserError), (404, NotFound), (503, StoreUnavailable), (500, InternalError)]
)
def test_what_the_resolver_refuses_becomes_our_error(status: int, kind: type[PoiseError]) -> None:
    with pytest.raises(kind, match="because of this"):
        admin(status, {"error": {"message": "because of this"}}).load("sums@1")


def test_loading_names_the_adapter() -> None:
    asked: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.content)
        return httpx.Response(200)

    Admin("http://server", httpx.MockTransport(answer)).load("sums@1")
    assert b'"sums@1"' in asked[0]


def test_waiting_ends_when_the_server_is_ready(child: Child) -> None:
    replies = iter([503, 503, 200])
    transport = httpx.MockTransport(lambda request: httpx.Response(next(replies)))
    wait_ready(Admin("http://server", transport), child, timeout=60)
    assert list(replies) == []


def test_a_server_that_takes_too_long_is_an_error(child: Child) -> None:
    with pytest.raises(WorkerFailed, match="tiny is not ready after 0 seconds"):
        wait_ready(admin(503), child, timeout=0)


def test_a_server_that_dies_is_an_error_with_its_last_words_and_what_to_do(tmp_path: Path) -> None:
    code = "import sys; sys.exit('OSError: libnuma.so.1: cannot open shared object file')"
    child = process.start("tiny", [sys.executable, "-c", code], {}, tmp_path / "tiny.log")
    with pytest.raises(WorkerFailed, match="cannot open shared object") as caught:
        wait_ready(admin(503), child, timeout=60)
    assert "ended with exit code 1" in caught.value.message
    assert caught.value.advice is not None
    assert "libnuma1" in caught.value.advice
    assert str(child.log) in caught.value.advice
