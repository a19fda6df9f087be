"""uvicorn's HTTP protocol, with the limit it lacks: on how long, and how large, a request's head may be."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LARGEST_HEAD = 64 * 1024


def head_limited(seconds: float) -> type[asyncio.Protocol]:
    """A protocol class that closes a connection whose next request has no whole head within `seconds`."""

    class HeadLimitedProtocol(HttpToolsProtocol):
        _deadline: asyncio.TimerHandle | None = None
        _head_bytes = 0

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._watch_head()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None and not self.cycle.response_complete:
                self._forget_head()
                return
            self._head_bytes += len(data)
            if self._head_bytes > _LARGEST_HEAD:
                self.transport.close()
            elif self._deadline is None:
                self._watch_head()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget_head()
            super().connection_lost(exc)

        def _watch_head(self) -> None:
            self._deadline = self.loop.call_later(seconds, self.transport.close)

        def _forget_head(self) -> None:
            self._head_bytes = 0
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

    return HeadLimitedProtocol
