"""Which replicas answer their health check, and in what order those of one target are tried."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from poise_gateway.snapshot import Refresher
from poise_gateway.upstream import Transport


class Replicas:
    """`up`: URLs that were healthy when last asked. Others are still tried, after these."""

    def __init__(self, transport: Transport, rng: random.Random) -> None:
        self.up: frozenset[str] = frozenset()
        self._transport = transport
        self._rng = rng

    def in_order(self, urls: Sequence[str]) -> Sequence[str]:
        if len(urls) == 1:
            return urls
        return sorted(self._rng.sample(urls, len(urls)), key=lambda url: url not in self.up)

    def unreachable(self, url: str) -> None:
        """Counts as down until the next check."""
        self.up -= {url}

    async def check(self, urls: Sequence[str]) -> None:
        healthy = await asyncio.gather(*(self._transport.healthy(f"{url}/health") for url in urls))
        self.up = frozenset(url for url, well in zip(urls, healthy, strict=True) if well)

    async def watch(self, refresher: Refresher, *, seconds: float) -> None:
        """Checks for ever."""
        while True:
            await self.check(refresher.current.table.urls)
            await asyncio.sleep(seconds)
