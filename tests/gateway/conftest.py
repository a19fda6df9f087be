"""A gateway under its real server, before a model server that behaves as vLLM does, both on loopback ports."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from openai import OpenAI

from poise.artifacts import aliases, keys
from poise.artifacts.registry import Version
from poise.specs import canonical
from poise.store import Store, open_store
from poise_gateway.__main__ import build, server
from poise_gateway.settings import Settings

BASE = "builtin:tiny@sha256-" + "a" * 64
WORDS = ("Good", " day", "!")
USAGE = {"prompt_tokens": 5, "total_tokens": 8, "completion_tokens": 3, "prompt_tokens_details": None}


def chunk(text: str, model: str) -> bytes:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    value = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": [choice]}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def whole(model: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": "".join(WORDS)}
    choice = {"index": 0, "message": message, "text": "".join(WORDS), "finish_reason": "stop"}
    head = {"id": "c1", "object": "chat.completion", "created": 1, "model": model}
    return {**head, "choices": [choice], "usage": USAGE}


@dataclass
class ModelServer:
    """An ASGI application. What a request does to it is said by its own field `do`."""

    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    begun: threading.Event = field(default_factory=threading.Event)
    abandoned: threading.Event = field(default_factory=threading.Event)
    health: int = 200

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        if scope["path"] == "/health":
            await _answer(send, self.health, b"")
            return
        body = b""
        while (message := await receive())["body"] or message["more_body"]:
            body += message["body"]
            if not message["more_body"]:
                break
        call = json.loads(body)
        self.bodies.append(call)
        self.paths.append(scope["path"])
        self.headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
        do, _, argument = str(call.get("do", "answer")).partition(" ")
        await getattr(self, f"_{do}")(call, argument, receive, send)

    async def _answer(self, call: Any, argument: str, receive: Any, send: Any) -> None:
        model = argument or call["model"]
        if not call.get("stream"):
            await _answer(send, 200, json.dumps(whole(model)).encode())
            return
        last = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": []}
        await _begin(send)
        for word in WORDS:
            await _more(send, chunk(word, model))
        await _more(send, b"data: " + json.dumps({**last, "usage": USAGE}).encode() + b"\n\n")
        await _more(send, b"data: [DONE]\n\n", more=False)

    async def _refuse(self, call: Any, argument: str, receive: Any, send: Any) -> None:
        status = int(argument)
        message = "cannot do it with /models/secret/weights.bin"
        error = {"message": message, "type": "BadRequestError", "param": "prompt", "code": status}
        await _answer(send, status, json.dumps({"error": error}).encode())

    async def _crash(self, call: Any, argument: str, receive: Any, send: Any) -> None:
        await _answer(send, 500, b"<h1>oops</h1>")

    async def _wait(self, call: Any, argument: str, receive: Any, send: Any) -> None:
        """With `stream`, after a first word."""
        if call.get("stream"):
            await _begin(send)
            await _more(send, chunk("Good", call["model"]))
        self.begun.set()
        while (await receive())["type"] != "http.disconnect":
            pass
        self.abandoned.set()

    async def _drip(self, call: Any, argument: str, receive: Any, send: Any) -> None:
        await _begin(send)
        for number in range(int(argument)):
            await _more(send, chunk(str(number), call["model"]))
            self.begun.set()
            await asyncio.sleep(0.05)
        await _more(send, b"data: [DONE]\n\n", more=False)

    async def _die(self, call: Any, argument: str, receive: Any, send: Any) -> None:
        """Breaks off in the middle of a line, or of a body."""
        if call.get("stream"):
            await _begin(send)
            await _more(send, chunk("Good", call["model"]))
        else:
            length = [(b"content-type", b"application/json"), (b"content-length", b"1000")]
            await send({"type": "http.response.start", "status": 200, "headers": length})
        await _more(send, b'data: {"id": "c1", "cho')
        await asyncio.sleep(0.05)
        raise ConnectionAbortedError

    async def _fall(self, call: Any, argument: str, receive: Any, send: Any) -> None:
        """A stream that ends in good form, too early; after `argument` words."""
        await _begin(send)
        for word in WORDS[: int(argument)]:
            await _more(send, chunk(word, call["model"]))
        await _more(send, b"", more=False)

    async def _fail(self, call: Any, argument: str, receive: Any, send: Any) -> None:
        """As vLLM does when the engine refuses after the head has gone out."""
        await _begin(send)
        error = {"message": "too many tokens", "type": "BadRequestError", "param": None, "code": 400}
        await _more(send, b"data: " + json.dumps({"error": error}).encode() + b"\n\n")
        await _more(send, b"data: [DONE]\n\n", more=False)


async def _answer(send: Any, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"x-internal", b"secret"), (b"set-cookie", b"a=b")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await _more(send, body, more=False)


async def _begin(send: Any) -> None:
    headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _more(send: Any, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


@contextmanager
def serving(app_server: uvicorn.Server) -> Iterator[str]:
    """The server in a thread; yields its URL."""
    thread = threading.Thread(target=app_server.run)
    thread.start()
    try:
        while not app_server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        port = app_server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        app_server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


def start_model_server(model_server: ModelServer) -> uvicorn.Server:
    config = uvicorn.Config(model_server, port=0, lifespan="off", log_config=None, access_log=False)
    return uvicorn.Server(config)


def publish(store: Store, served_name: str, kind: str = "adapter", base: str = BASE) -> None:
    version = Version(kind=kind, artifact="sha256-" + "b" * 64, base=base, created="2026-11-20T10:00:00+00:00")
    name, _, number = served_name.partition("@")
    store.put(f"models/{name}/{number}.json", canonical(version.model_dump(mode="json")))


@dataclass
class Place:
    """A store with models, a key and a servers file, and the parts that were started on them."""

    store: Store
    key: str
    servers: Path
    model_server: ModelServer
    model_server_url: str
    stack: ExitStack
    client: httpx.Client
    url: str = ""
    base: str = BASE

    @property
    def headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.key}"}

    def write_servers(self, *servers: dict[str, Any]) -> None:
        self.servers.write_text(json.dumps({"servers": list(servers)}))

    def start(self, **settings: Any) -> Place:
        """Starts the gateway, once."""
        values = {"bind": "127.0.0.1:0", "poll_seconds": 0.1, "grace_seconds": 5, **settings}
        built = Settings(store=self.store.url, servers=self.servers, **values)
        self.url = self.stack.enter_context(serving(server(build(built), built)))
        _wait_until(lambda: self.client.get(f"{self.url}/readyz").status_code == 200)
        return self

    def post(self, path: str = "/v1/chat/completions", **fields: Any) -> httpx.Response:
        body = {"model": "sums", "messages": [{"role": "user", "content": "hello"}], **fields}
        return self.client.post(self.url + path, json=body, headers=self.headers)

    def post_bytes(self, body: bytes, **headers: str) -> httpx.Response:
        sent = {"content-type": "application/json", **self.headers, **headers}
        return self.client.post(f"{self.url}/v1/chat/completions", content=body, headers=sent)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.client.get(self.url + path, headers={**self.headers, **headers})

    @contextmanager
    def another_model_server(self) -> Iterator[str]:
        """The URL of a second one."""
        with serving(start_model_server(ModelServer())) as url:
            yield url

    def openai(self) -> OpenAI:
        return self.stack.enter_context(OpenAI(base_url=f"{self.url}/v1", api_key=self.key, max_retries=0))


@contextmanager
def a_place(folder: Path) -> Iterator[Place]:
    store = open_store(str(folder / "store"))
    _, key = keys.create_key(store, "tests")
    publish(store, "sums@1")
    publish(store, "sums@2")
    aliases.create(store, "sums", "sums@1")
    with ExitStack() as stack:
        model_server = ModelServer()
        url = stack.enter_context(serving(start_model_server(model_server)))
        # Shorter than the servers' own patience, so that no connection is used as it is being closed.
        client = stack.enter_context(httpx.Client(timeout=30, limits=httpx.Limits(keepalive_expiry=1)))
        place = Place(store, key, folder / "servers.json", model_server, url, stack, client)
        place.write_servers({"name": "tiny", "url": url, "base": BASE, "adapters": True})
        yield place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Not started: what a test changes first is up to it."""
    with a_place(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def _shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with a_place(tmp_path_factory.mktemp("gateway")) as made:
        yield made.start()


@pytest.fixture
def gateway(_shared: Place) -> Place:
    """Started, and the same one for all tests, which leave its store and servers as they are."""
    fresh = ModelServer()
    _shared.model_server.__dict__.update(fresh.__dict__)
    return _shared


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """Waits for a condition to come true."""
    return _wait_until


@pytest.fixture(name="publish")
def _publish_fixture() -> Callable[..., None]:
    return publish


def _wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)
