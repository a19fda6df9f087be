"""The request's body: read within limits, parsed strictly, checked for what must not reach a model server."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from math import isinf
from types import MappingProxyType
from typing import Any, NoReturn

from starlette.types import Receive, Scope

from poise_gateway.errors import CLOSE, ApiError, ClientGone, invalid, overdue

# vLLM ignores the guided_* fields without a word, and takes the last two as orders from a trusted peer.
_REFUSED = MappingProxyType(
    {
        "guided_json": 'Use "structured_outputs": {"json": ...} or "response_format".',
        "guided_regex": 'Use "structured_outputs": {"regex": ...}.',
        "guided_choice": 'Use "structured_outputs": {"choice": [...]}.',
        "guided_grammar": 'Use "structured_outputs": {"grammar": ...}.',
        "guided_json_object": 'Use "response_format": {"type": "json_object"}.',
        "guided_decoding_backend": "The backend is the server's choice.",
        "guided_whitespace_pattern": 'Use "structured_outputs": {"whitespace_pattern": ...}.',
        "kv_transfer_params": "It is between model servers.",
        "request_id": "The gateway makes it and returns it as x-request-id.",
    }
)


@dataclass(frozen=True)
class Call:
    """A checked request: `fields` is the client's object, untouched but for what `encode` replaces."""

    model: str
    stream: bool
    fields: dict[str, Any]

    def encode(self, model: str) -> bytes:
        return _ENCODER.encode({**self.fields, "model": model}).encode()


async def read_body(scope: Scope, receive: Receive, *, limit: int, seconds: float) -> bytes:
    """Raises `ApiError` 413 over `limit` bytes, 408 after `seconds`, 415 for what is not JSON."""
    _check_headers(scope, limit)
    try:
        async with asyncio.timeout(seconds):
            return await _read(receive, limit)
    except TimeoutError as error:
        raise overdue(f"The request's body did not arrive within {seconds:g} s.") from error


def _check_headers(scope: Scope, limit: int) -> None:
    kind = b""
    for name, value in scope["headers"]:
        if name == b"content-type":
            kind = value.partition(b";")[0].strip().lower()
        elif name == b"content-length" and int(value) > limit:
            raise _too_large(limit)
    if kind != b"application/json":
        raise ApiError(415, "The content-type must be application/json.", headers=CLOSE)


async def _read(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("the client left before its request was complete")
        parts.append(message["body"])
        size += len(parts[-1])
        if size > limit:
            raise _too_large(limit)
        if not message.get("more_body"):
            return b"".join(parts)


def _too_large(limit: int) -> ApiError:
    return ApiError(413, f"The request's body is larger than {limit} bytes.", headers=CLOSE)


def parse_call(body: bytes, *, most_choices: int) -> Call:
    """Raises `ApiError` 400 for anything but an object of finite numbers with a model's name."""
    fields = _parse(body)
    if not isinstance(fields, dict):
        raise invalid("The request's body must be a JSON object.")
    for name in fields:
        if name in _REFUSED:
            raise invalid(f"{name} is not supported.", param=name, advice=_REFUSED[name])
    model, stream = fields.get("model"), fields.get("stream")
    if not isinstance(model, str):
        raise invalid("model must be a string.", param="model")
    if stream is not None and not isinstance(stream, bool):
        raise invalid("stream must be true or false.", param="stream")
    for name in ("n", "best_of"):
        _check_choices(name, fields.get(name), most_choices)
    return Call(model, bool(stream), fields)


def _parse(body: bytes) -> Any:
    try:
        return _DECODER.decode(body.decode())
    except RecursionError as error:
        raise invalid("The request's body is nested too deeply.") from error
    except ValueError as error:
        raise invalid(f"The request's body is not valid JSON: {error}") from error


def _refuse_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number in JSON")


def _finite(text: str) -> float:
    value = float(text)
    if isinf(value):
        raise ValueError(f"{text[:40]} is too large a number")
    return value


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_float=_finite)
_ENCODER = json.JSONEncoder(separators=(",", ":"))


def _check_choices(name: str, value: object, most: int) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise invalid(f"{name} must be a whole number from 1 to {most}.", param=name)
