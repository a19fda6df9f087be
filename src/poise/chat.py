"""A small streaming client of `/v1/chat/completions`, for `poise chat`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx

from poise.errors import NotFound, PoiseError, TryAgain, UserError


def ask(url: str, key: str, model: str, messages: list[dict[str, str]], **options: Any) -> Iterator[str]:
    """Yield the answer piece by piece. Raises `UserError` or `TryAgain` with what the server says."""
    body = {"model": model, "messages": messages, "stream": True, **options}
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with (
            httpx.Client(timeout=httpx.Timeout(300, connect=5)) as client,
            client.stream("POST", f"{url}/chat/completions", json=body, headers=headers) as reply,
        ):
            if reply.status_code != 200:
                reply.read()
                raise _refused(reply)
            yield from _pieces(reply)
    except httpx.TransportError as error:
        raise TryAgain(f"nobody answers at {url}", advice="start it with `poise serve NAME`, or give --url") from error


def _pieces(reply: httpx.Response) -> Iterator[str]:
    for line in reply.iter_lines():
        if not line.startswith("data: ") or line == "data: [DONE]":
            continue
        event = json.loads(line[6:])
        if "error" in event:
            raise TryAgain(f"the answer broke off: {event['error']['message']}")
        for choice in event["choices"]:
            if content := choice["delta"].get("content"):
                yield content


def _refused(reply: httpx.Response) -> PoiseError:
    try:
        message = reply.json()["error"]["message"]
    except (ValueError, KeyError, TypeError):
        message = f"HTTP {reply.status_code}"
    if reply.status_code == 401:
        return UserError(message, advice="set POISE_API_KEY; `poise keys create NAME` makes a key")
    if reply.status_code == 404:
        return NotFound(message)
    return UserError(message) if reply.status_code < 500 else TryAgain(message)
