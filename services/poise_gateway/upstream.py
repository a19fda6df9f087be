"""What the gateway needs of an HTTP client: the seam where one client can be put in place of another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, Self

from poise.errors import TryAgain


class Unreachable(TryAgain):
    """No connection could be made: the request was not sent, so another replica may have it."""


class Broken(TryAgain):
    """The connection ended before the answer did. The request may have been worked on."""


class Silent(TryAgain):
    """Nothing came for as long as the settings allow."""


class Answer(Protocol):
    """An answer whose head has arrived; whoever was handed one closes it, whole or not."""

    @property
    def status(self) -> int: ...

    @property
    def content_type(self) -> str: ...

    async def read(self) -> bytes:
        """The next bytes, as they came; b"" at the end. Raises `Broken` or `Silent`."""
        ...

    def close(self) -> None:
        """Ends the connection unless all was read, which is how a server learns to stop generating."""
        ...


class Transport(Protocol):
    """Open only inside its own `async with`."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises `Unreachable`, `Broken` or `Silent`."""
        ...

    async def healthy(self, url: str) -> bool:
        """Whether `url` answers 200 within a short time; never raises for a server that does not."""
        ...


async def read_all(answer: Answer) -> bytes:
    parts = []
    while part := await answer.read():
        parts.append(part)
    return b"".join(parts)
