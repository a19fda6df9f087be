"""The outermost ASGI application: who may call, which way a request goes, and what becomes of its errors."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TextIO

from starlette.types import ASGIApp, Receive, Scope, Send

from poise_gateway.access_log import write_line
from poise_gateway.auth import authenticate
from poise_gateway.errors import ApiError, ClientGone, internal, method_not_allowed, stopping
from poise_gateway.exchange import Exchange
from poise_gateway.metrics import Metrics
from poise_gateway.proxy import Proxy
from poise_gateway.snapshot import Refresher

# Probes and scrapers have no key; what they are told holds no prompt and no key either.
_KEYLESS = frozenset({"/healthz", "/readyz", "/metrics"})
_CLIENT_GONE = 499

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gateway:
    """`proxied`: exact path to its proxy; all other paths are for `pages`. `open`: no key is asked for;
    `log`: takes the access log."""

    proxied: Mapping[str, Proxy]
    pages: ASGIApp
    refresher: Refresher
    metrics: Metrics
    open: bool
    log: TextIO

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.pages(scope, receive, send)
            return
        exchange = Exchange(scope, send)
        self.metrics.in_flight += 1
        try:
            await self._answer(exchange, scope, receive)
        finally:
            self.metrics.in_flight -= 1
            self.metrics.record(exchange)
            write_line(self.log, exchange)

    async def _answer(self, exchange: Exchange, scope: Scope, receive: Receive) -> None:
        try:
            await self._route(exchange, scope, receive)
        except ApiError as error:
            await exchange.refuse(error)
        except ClientGone:
            exchange.status = exchange.status or _CLIENT_GONE
            exchange.error = "client_gone"
        except asyncio.CancelledError:
            # The server cancels what is still running when the grace period after SIGTERM is over.
            await exchange.refuse(stopping())
        except Exception:
            # The last edge: an error of ours is logged whole and told in the API's shape.
            _log.exception("request %s failed", exchange.id)
            await exchange.refuse(internal())

    async def _route(self, exchange: Exchange, scope: Scope, receive: Receive) -> None:
        path = scope["path"]
        if not self.open and path not in _KEYLESS:
            exchange.key = authenticate(scope, self.refresher.current.keys)
        proxy = self.proxied.get(path)
        if proxy is None:
            await self.pages(scope, receive, exchange.send)
        elif scope["method"] != "POST":
            raise method_not_allowed("POST")
        else:
            await proxy(exchange, scope, receive)
