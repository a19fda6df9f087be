"""The route table: what a request's `model` means, as immutable data made by one pure function."""

from __future__ import annotations

import difflib
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate

from poise.artifacts.aliases import Alias
from poise.artifacts.registry import Version
from poise_gateway.errors import ApiError
from poise_gateway.servers import Server

_LONGEST_NAME = 200


@dataclass(frozen=True)
class Target:
    """One immutable thing to call: the name its servers know it by, and the URL of each replica."""

    model: str
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Route:
    """`bounds[i]` is the sum of the weights of `targets[:i + 1]`; `created` is in seconds since the epoch."""

    targets: tuple[Target, ...]
    bounds: tuple[float, ...] = (1.0,)
    created: int = 0

    def choose(self, rng: random.Random) -> Target:
        if len(self.targets) == 1:
            return self.targets[0]
        return rng.choices(self.targets, cum_weights=self.bounds)[0]


@dataclass(frozen=True)
class Table:
    """`problems`: what could not be routed and why, for the operator's eyes."""

    routes: Mapping[str, Route] = field(default_factory=dict)
    urls: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def find(self, model: str) -> Route:
        """Raises `ApiError` 404 for a name that is not in the table, with the nearest ones that are."""
        route = self.routes.get(model)
        if route is None:
            raise self._unknown(model)
        return route

    def _unknown(self, model: str) -> ApiError:
        near = difflib.get_close_matches(model, self.routes, n=3) if len(model) <= _LONGEST_NAME else []
        advice = f"Did you mean {' or '.join(near)}?" if near else "GET /v1/models lists what there is."
        message = f"The model {model[:_LONGEST_NAME]!r} does not exist."
        return ApiError(404, message, advice=advice, param="model", code="model_not_found")


def build_table(servers: Iterable[Server], versions: Mapping[str, Version], aliases: Mapping[str, Alias]) -> Table:
    """Versions go to the servers that hold them or their base; names of bases stand above aliases.

    A version that no server holds is left out. An alias keeps those of its targets that are served, with
    their weights as they are.
    """
    servers = tuple(servers)
    problems: list[str] = []
    routes = {name: route for name, version in versions.items() if (route := _version(name, version, servers))}
    served = dict(routes)
    for name, alias in aliases.items():
        route, missing = _alias(alias, served)
        problems += [f"alias {name}: {target} is not served" for target in missing]
        if route:
            routes[name] = route
    for name in {server.name: None for server in servers if server.base is not None}:
        if name in routes:
            problems.append(f"alias {name} is hidden by the server of that name")
        routes[name] = Route((Target(name, tuple(s.url for s in servers if s.name == name)),))
    urls = tuple(server.url for server in servers)
    return Table(dict(sorted(routes.items())), urls, tuple(problems))


def _version(name: str, version: Version, servers: tuple[Server, ...]) -> Route | None:
    if version.kind == "adapter":
        urls = tuple(s.url for s in servers if s.adapters and s.base == version.base)
    elif version.kind == "weights":
        urls = tuple(s.url for s in servers if s.version == name)
    else:
        urls = ()
    return Route((Target(name, urls),), created=_seconds(version.created)) if urls else None


def _alias(alias: Alias, served: Mapping[str, Route]) -> tuple[Route | None, list[str]]:
    weighted = [(target.version, target.weight) for target in alias.targets if target.weight > 0]
    missing = [name for name, _ in weighted if name not in served]
    there = [(served[name].targets[0], weight) for name, weight in weighted if name in served]
    if not there:
        return None, missing
    targets, weights = zip(*there, strict=True)
    return Route(targets, tuple(accumulate(weights)), _seconds(alias.updated)), missing


def _seconds(iso: str) -> int:
    return int(datetime.fromisoformat(iso).timestamp()) if iso else 0
