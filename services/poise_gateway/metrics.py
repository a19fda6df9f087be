"""What is counted, in a registry of its own. Labels take their values from the route table and fixed sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from poise_gateway.exchange import Exchange

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """`endpoints`: the paths told apart, any other counts as "other"; `in_flight`: requests being answered."""

    def __init__(self, *, endpoints: Iterable[str], table_age: Callable[[], float]) -> None:
        self.registry = registry = CollectorRegistry()
        self._endpoints = frozenset(endpoints)
        self._requests = Counter(
            "poise_gateway_requests", "Requests", ["model", "endpoint", "status"], registry=registry
        )
        self._seconds = Histogram(
            "poise_gateway_request_seconds",
            "Time to an answer's end",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._first_byte = Histogram(
            "poise_gateway_first_byte_seconds",
            "Time to an answer's first byte",
            ["model"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._tokens = Counter(
            "poise_gateway_tokens", "Tokens by the servers' count", ["model", "direction"], registry=registry
        )
        self._upstream = Counter(
            "poise_gateway_upstream_failures", "Servers that failed", ["model", "reason"], registry=registry
        )
        self.in_flight = 0
        in_flight = Gauge("poise_gateway_in_flight", "Requests being answered", registry=registry)
        in_flight.set_function(lambda: self.in_flight)
        age = Gauge("poise_gateway_table_age_seconds", "Since store and servers were read", registry=registry)
        age.set_function(table_age)

    def upstream_failed(self, model: str, reason: str) -> None:
        self._upstream.labels(model, reason).inc()

    def record(self, exchange: Exchange) -> None:
        """Counts a finished exchange; time and tokens only of those that were routed to a model."""
        endpoint = exchange.path if exchange.path in self._endpoints else "other"
        self._requests.labels(exchange.model, endpoint, str(exchange.status)).inc()
        if not exchange.model:
            return
        self._seconds.labels(exchange.model).observe(exchange.seconds)
        if exchange.first_byte is not None:
            self._first_byte.labels(exchange.model).observe(exchange.first_byte)
        for direction, count in zip(("prompt", "completion"), exchange.tokens, strict=True):
            if count:
                self._tokens.labels(exchange.model, direction).inc(count)
