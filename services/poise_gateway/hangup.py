"""Notices that the client has gone away, and stops the work that was for it."""

from __future__ import annotations

import asyncio
from types import TracebackType

from starlette.types import Receive

from poise_gateway.errors import ClientGone


class Hangup:
    """Cancels its block when `receive` reports a disconnect, as `asyncio.timeout` does at a deadline.

    To be entered once the request's body was read. Raises `ClientGone` from the block that it cancelled.
    """

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._gone = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        self._watch = asyncio.create_task(self._wait())

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._gone = True
        self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.cancel()
        if self._gone and kind is not None and self._task.uncancel() == 0:
            raise ClientGone("the client left before its answer was complete") from error
