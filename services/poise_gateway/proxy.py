"""The proxied paths. No response class and no middleware stands between server and client here: it is hot."""

from __future__ import annotations

import logging
import random
from dataclasses import dataclass

from starlette.types import Receive, Scope

from poise.errors import TryAgain
from poise_gateway.body import Call, parse_call, read_body
from poise_gateway.errors import upstream_failed
from poise_gateway.exchange import Exchange
from poise_gateway.hangup import Hangup
from poise_gateway.metrics import Metrics
from poise_gateway.relay import read_whole, relay_stream
from poise_gateway.replicas import Replicas
from poise_gateway.snapshot import Refresher
from poise_gateway.table import Target
from poise_gateway.upstream import Answer, Broken, Silent, Transport, Unreachable

# Everything else a client sends stays here: its key, its cookies, and X-Request-Id, which vLLM trusts.
_FORWARDED = (b"traceparent", b"tracestate")

_FAILURES: dict[type[TryAgain], tuple[int, str, str]] = {
    Unreachable: (503, "upstream_unreachable", "No server of this model can be reached."),
    Broken: (502, "upstream_broken", "The model server broke off its answer."),
    Silent: (504, "upstream_silent", "The model server did not answer in time."),
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """`body_bytes` and `body_seconds` bound a request's body, `choices` its `n`."""

    body_bytes: int
    body_seconds: float
    choices: int


@dataclass(frozen=True)
class Proxy:
    """POST of one call to a server of the model it names."""

    refresher: Refresher
    replicas: Replicas
    transport: Transport
    metrics: Metrics
    limits: Limits
    rng: random.Random

    async def __call__(self, exchange: Exchange, scope: Scope, receive: Receive) -> None:
        """Raises `ApiError`, before the answer began or in the middle of a stream, and `ClientGone`."""
        limits = self.limits
        body = await read_body(scope, receive, limit=limits.body_bytes, seconds=limits.body_seconds)
        call = parse_call(body, most_choices=limits.choices)
        target = self.refresher.current.table.find(call.model).choose(self.rng)
        exchange.model = target.model
        try:
            async with Hangup(receive):
                answer = await self._post(exchange, target, call, scope)
                try:
                    whole = await _relay(answer, exchange, stream=call.stream)
                finally:
                    answer.close()
        except (Unreachable, Broken, Silent) as error:
            status, code, message = _FAILURES[type(error)]
            self.metrics.upstream_failed(target.model, code)
            _log.warning("request %s to %s: %s", exchange.id, target.model, error)
            raise upstream_failed(status, message, code=code) from error
        if whole is None:
            await exchange.end_stream()
        else:
            await exchange.answer(200, whole, {"x-poise-model": target.model})

    async def _post(self, exchange: Exchange, target: Target, call: Call, scope: Scope) -> Answer:
        """Only a failed connect is tried elsewhere: a request that kills its server must not kill them all."""
        headers = {"content-type": "application/json", "x-request-id": exchange.id}
        headers |= {n.decode(): v.decode("latin-1") for n, v in scope["headers"] if n in _FORWARDED}
        body = call.encode(target.model)
        failures = []
        for url in self.replicas.in_order(target.urls):
            try:
                return await self.transport.post(url + exchange.path, body, headers)
            except Unreachable as error:
                self.replicas.unreachable(url)
                failures.append(error.message)
        raise Unreachable("; ".join(failures))


async def _relay(answer: Answer, exchange: Exchange, *, stream: bool) -> bytes | None:
    """The body that is still to be sent; None where a stream was sent, all but its end."""
    if not stream:
        return await read_whole(answer, exchange)
    await relay_stream(answer, exchange)
    return None
