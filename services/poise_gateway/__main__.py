"""`python -m poise_gateway`: the gateway's parts, put together."""

from __future__ import annotations

import logging
import random
import signal
import sys

import uvicorn

from poise.errors import PoiseError, UserError
from poise.store import open_store
from poise_gateway.aiohttp_transport import AiohttpTransport
from poise_gateway.gateway import Gateway
from poise_gateway.metrics import Metrics
from poise_gateway.pages import build_pages
from poise_gateway.protocol import head_limited
from poise_gateway.proxy import Limits, Proxy
from poise_gateway.replicas import Replicas
from poise_gateway.settings import Settings
from poise_gateway.snapshot import Reader, Refresher

_STORE_PATIENCE_S = 5.0  # the next look is soon, and failing ones should be told of
_PROXIED = ("/v1/chat/completions", "/v1/completions")
_ENDPOINTS = (*_PROXIED, "/v1/models", "/healthz", "/readyz", "/metrics")


def build(settings: Settings) -> Gateway:
    """Reads store and servers once. Raises `UserError` where nobody could call, `StoreUnavailable`."""
    store = open_store(settings.store, patience_s=_STORE_PATIENCE_S)
    refresher = Refresher(Reader(store, settings.servers), seconds=settings.poll_seconds)
    refresher.refresh()
    if not refresher.current.keys and not settings.open:
        advice = "Make one with `poise keys create NAME`, or set POISE_GATEWAY_OPEN=1 to answer without."
        raise UserError(f"there is no API key in {settings.store}", advice=advice)
    rng = random.Random()
    transport = AiohttpTransport(connect=settings.connect_seconds, silence=settings.silence_seconds)
    replicas = Replicas(transport, rng)
    metrics = Metrics(endpoints=_ENDPOINTS, table_age=lambda: refresher.age)
    limits = Limits(settings.max_body_bytes, settings.body_seconds, settings.max_choices)
    proxy = Proxy(refresher, replicas, transport, metrics, limits, rng)
    pages = build_pages(
        refresher=refresher,
        replicas=replicas,
        transport=transport,
        metrics=metrics,
        poll_seconds=settings.poll_seconds,
    )
    return Gateway(dict.fromkeys(_PROXIED, proxy), pages, refresher, metrics, settings.open, sys.stdout)


def server(gateway: Gateway, settings: Settings) -> uvicorn.Server:
    config = uvicorn.Config(
        gateway,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        http=head_limited(settings.header_seconds),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=round(settings.grace_seconds),
    )
    return uvicorn.Server(config)


def main() -> int:
    # uvicorn raises the signal that stopped it once more when it is done: that end is a good one.
    for end in (signal.SIGTERM, signal.SIGINT):
        signal.signal(end, lambda *_: sys.exit(0))
    # To stderr; stdout has the access log.
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = Settings.from_environment()
        server(build(settings), settings).run()
    except PoiseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
