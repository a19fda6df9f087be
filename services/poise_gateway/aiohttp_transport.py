"""The upstream client on aiohttp."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import aiohttp

from poise_gateway.upstream import Broken, Silent, Unreachable

# uvicorn, and so vLLM, closes idle connections after 5 s; one that closes just as it is used again
# cannot be told from a server that died, so they are given up before that.
_IDLE_SECONDS = 3.0
_HEALTH = aiohttp.ClientTimeout(total=2.0)


class AiohttpAnswer:
    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response
        self._content = response.content
        self.status = response.status
        self.content_type = response.headers.get("content-type", "")

    async def read(self) -> bytes:
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _ours(error, str(self._response.url)) from error

    def close(self) -> None:
        self._response.close()


class AiohttpTransport:
    """`connect`: seconds to make a connection; `silence`: the longest a server may send nothing."""

    def __init__(self, *, connect: float, silence: float) -> None:
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=connect, sock_read=silence)

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=self._timeout,
            skip_auto_headers=("user-agent", "accept-encoding"),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> AiohttpAnswer:
        try:
            return AiohttpAnswer(await self._session.post(url, data=body, headers=headers, allow_redirects=False))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise _ours(error, url) from error

    async def healthy(self, url: str) -> bool:
        try:
            async with self._session.get(url, timeout=_HEALTH, allow_redirects=False) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False


def _ours(error: Exception, url: str) -> Unreachable | Broken | Silent:
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        return Unreachable(f"no connection to {url}: {error}")
    if isinstance(error, TimeoutError):
        return Silent(f"{url} sent nothing for too long")
    return Broken(f"{url} broke off: {error!r}")
