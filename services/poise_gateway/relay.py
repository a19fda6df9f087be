"""A model server's answer on its way to the client."""

from __future__ import annotations

import json
from typing import Any

from poise_gateway.errors import ApiError, upstream_failed
from poise_gateway.exchange import Exchange
from poise_gateway.sniff import model_path, token_counts, without_paths
from poise_gateway.sse import Lines, leading_error
from poise_gateway.upstream import Answer, Broken, read_all


async def read_whole(answer: Answer, exchange: Exchange) -> bytes:
    """The body to send. All of it is read first: a server that dies meanwhile can still become a clean error."""
    if answer.status != 200:
        raise refusal(answer.status, await read_all(answer))
    body = await read_all(answer)
    exchange.tokens = token_counts(body) or (0, 0)
    path = model_path(body)
    return body.replace(path, exchange.model.encode()) if path else body


async def relay_stream(answer: Answer, exchange: Exchange) -> None:
    """Sends all but the stream's end. Raises `Broken` for one that stops before its [DONE].

    The status waits for the first piece: until then a failure is an error with a status of its own.
    """
    if answer.status != 200:
        raise refusal(answer.status, await read_all(answer))
    lines = Lines()
    piece = await _next(answer, lines)
    if error := leading_error(piece):
        raise refusal(_status_in(error), error)
    if not piece:
        raise Broken("the stream ended before it began")
    path = model_path(piece)
    await exchange.begin_stream({"x-poise-model": exchange.model})
    while piece:
        if b'"usage"' in piece:
            exchange.tokens = token_counts(piece) or exchange.tokens
        await exchange.stream(piece.replace(path, exchange.model.encode()) if path else piece)
        piece = await _next(answer, lines)
    if not lines.done:
        raise Broken("the stream ended before its [DONE]")


async def _next(answer: Answer, lines: Lines) -> bytes:
    while data := await answer.read():
        if whole := lines.feed(data):
            return whole
    return b""


def refusal(status: int, body: bytes) -> ApiError:
    """A server's error in our shape, with its status.

    401, 403, 404, 405 and anything below 400 speak of what is between gateway and server, not of what the
    client did, and become 502.
    """
    error = _error_in(body)
    message = without_paths(str(error.get("message") or f"The model server answered with status {status}."))
    if status < 400 or status in (401, 403, 404, 405):
        return upstream_failed(502, f"The model server refused the gateway: {message}", code="upstream_refused")
    code = error["code"] if isinstance(error.get("code"), str) else None
    if status >= 500:
        return upstream_failed(status, message, code=code or "upstream_error")
    param = error["param"] if isinstance(error.get("param"), str) else None
    return ApiError(status, message, code=code, param=param)


def _error_in(body: bytes) -> dict[str, Any]:
    """The error object, which older servers write without the outer {"error": ...}."""
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    inner = value.get("error", value) if isinstance(value, dict) else None
    return inner if isinstance(inner, dict) else {}


def _status_in(body: bytes) -> int:
    code = _error_in(body).get("code")
    return code if isinstance(code, int) and 400 <= code <= 599 else 502
