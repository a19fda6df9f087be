"""The access log: one line of JSON for each request, without bodies, queries or keys."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TextIO

from poise_gateway.exchange import Exchange

_LONGEST_PATH = 200
_ENCODER = json.JSONEncoder(separators=(",", ":"))


def write_line(stream: TextIO, exchange: Exchange) -> None:
    """`seconds` and `first_byte` count from the request's head; `key` is the key's id."""
    first_byte = exchange.first_byte
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "request": exchange.id,
        "client": exchange.client,
        "key": exchange.key,
        "method": exchange.method,
        "path": exchange.path[:_LONGEST_PATH],
        "model": exchange.model,
        "status": exchange.status,
        "error": exchange.error,
        "seconds": round(exchange.seconds, 6),
        "first_byte": None if first_byte is None else round(first_byte, 6),
        "prompt_tokens": exchange.tokens[0],
        "completion_tokens": exchange.tokens[1],
    }
    stream.write(_ENCODER.encode(line) + "\n")
    stream.flush()
