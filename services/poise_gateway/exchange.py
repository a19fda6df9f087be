"""One request and its answer: everything sent passes through here, and what is told of it is noted here."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping

from starlette.types import Message, Scope, Send

from poise_gateway.errors import ApiError
from poise_gateway.sse import error_event

_Headers = list[tuple[bytes, bytes]]


class Exchange:
    """Attributes:
    id: made here, never taken from the client; goes to the model server and back as x-request-id.
    status: of the answer; 0 before it began, 499 when the client left before that.
    first_byte: seconds from the request to the answer's head, None before that.
    model: the immutable name that was routed to; "" where none was.
    key: id of the API key.
    tokens: prompt and completion tokens by the server's count.
    error: code of the error that the answer is or ended with.
    """

    def __init__(self, scope: Scope, send: Send) -> None:
        self.id = secrets.token_hex(16)
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.client: str = scope["client"][0] if scope.get("client") else ""
        self.status = 0
        self.first_byte: float | None = None
        self.model = ""
        self.key = ""
        self.tokens = (0, 0)
        self.error = ""
        self._send = send
        self._began = time.perf_counter()
        self._streaming = False
        self._ended = False

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.first_byte = self.seconds
            message["headers"] = [*message.get("headers", ()), (b"x-request-id", self.id.encode())]
        else:
            self._ended = not message.get("more_body", False)
        await self._send(message)

    async def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """A whole answer in JSON."""
        pairs = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        await self._start(status, pairs, headers)
        await self.send({"type": "http.response.body", "body": body})

    async def begin_stream(self, headers: Mapping[str, str]) -> None:
        self._streaming = True
        # The last one keeps nginx from collecting the stream before passing it on.
        pairs = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache"),
            (b"x-accel-buffering", b"no"),
        ]
        await self._start(200, pairs, headers)

    async def stream(self, data: bytes) -> None:
        await self.send({"type": "http.response.body", "body": data, "more_body": True})

    async def end_stream(self) -> None:
        await self.send({"type": "http.response.body", "body": b""})

    async def refuse(self, error: ApiError) -> None:
        """The error as an answer, or as a stream's last event; nothing where the answer is complete."""
        self.error = error.code or error.kind
        if not self.status:
            await self.answer(error.status, error.body(), error.headers)
        elif self._streaming and not self._ended:
            await self.stream(error_event(error.body()))
            await self.end_stream()

    async def _start(self, status: int, pairs: _Headers, headers: Mapping[str, str]) -> None:
        pairs += [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": status, "headers": pairs})
