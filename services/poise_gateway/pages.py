"""The paths that are not proxied: the list of models, health, metrics; and the application's start and end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from fastapi import FastAPI, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.exceptions import HTTPException

from poise_gateway.errors import ApiError, internal, method_not_allowed, not_found
from poise_gateway.metrics import Metrics
from poise_gateway.replicas import Replicas
from poise_gateway.snapshot import Refresher
from poise_gateway.table import Route
from poise_gateway.upstream import Transport


def build_pages(
    *, refresher: Refresher, replicas: Replicas, transport: Transport, metrics: Metrics, poll_seconds: float
) -> FastAPI:
    """The application. While it runs, the transport is open and refresher and health checks are at work."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with transport:
            refresher.start()
            watch = asyncio.create_task(replicas.watch(refresher, seconds=poll_seconds))
            yield
            refresher.stop()
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch

    pages = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    _add_errors(pages)
    _add_models(pages, refresher)
    _add_health(pages, refresher, replicas)

    @pages.get("/metrics")
    def scrape() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return pages


def _add_models(pages: FastAPI, refresher: Refresher) -> None:
    @pages.get("/v1/models")
    async def models() -> dict[str, Any]:
        routes = refresher.current.table.routes
        return {"object": "list", "data": [_model(name, route) for name, route in routes.items()]}

    @pages.get("/v1/models/{name}")
    async def model(name: str) -> dict[str, Any]:
        return _model(name, refresher.current.table.find(name))


def _model(name: str, route: Route) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": route.created, "owned_by": "poise"}


def _add_health(pages: FastAPI, refresher: Refresher, replicas: Replicas) -> None:
    @pages.get("/healthz")
    async def alive() -> dict[str, str]:
        return {"status": "alive"}

    @pages.get("/readyz")
    async def ready(response: Response) -> dict[str, Any]:
        """Ready with one healthy server; a store that fails is told but changes nothing."""
        table = refresher.current.table
        up = sum(url in replicas.up for url in table.urls)
        response.status_code = 200 if up else 503
        return {
            "status": "ready" if up else "not ready",
            "servers": {"healthy": up, "known": len(table.urls)},
            "models": len(table.routes),
            "problems": len(table.problems),
            "store": "failing" if refresher.failing else "ok",
            "table_age_seconds": round(refresher.age, 1),
        }


def _add_errors(pages: FastAPI) -> None:
    @pages.exception_handler(ApiError)
    async def refused(_: Request, error: ApiError) -> Response:
        return _response(error)

    @pages.exception_handler(HTTPException)
    async def unrouted(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            return _response(method_not_allowed((error.headers or {}).get("Allow", "GET")))
        return _response(not_found(request.url.path))

    @pages.exception_handler(Exception)
    async def failed(_: Request, __: Exception) -> Response:
        return _response(internal())


def _response(error: ApiError) -> Response:
    headers = dict(error.headers)
    return Response(error.body(), error.status, headers=headers, media_type="application/json")
