"""Which servers a list of versions needs: a pure function."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from poise.artifacts.registry import Published
from poise.errors import UserError
from poise.serving.vllm import max_lora_rank

_MAX_LORAS = range(4, 17)


@dataclass(frozen=True)
class ServerPlan:
    """One vLLM: a base with adapters, or the weights of one version.

    Attributes:
        name: what requests call its weights; the first part of its log's name.
        weights: pinned reference of the weights to load.
        adapters: served names to load at the start; others on the same base are loaded when they are asked for.
        version: the served name of its weights; None for a base.
        max_rank: the largest LoRA rank it takes.
    """

    name: str
    weights: str
    adapters: tuple[str, ...] = ()
    version: str | None = None
    max_rank: int = 0

    @property
    def max_loras(self) -> int:
        """Adapters that can be in use at the same moment."""
        return min(max(len(self.adapters), _MAX_LORAS.start), _MAX_LORAS.stop - 1)

    def entry(self, url: str) -> dict[str, object]:
        """This server in the gateway's servers file."""
        if self.version is not None:
            return {"name": self.name, "url": url, "version": self.version}
        return {"name": self.name, "url": url, "base": self.weights, "adapters": True}


def plan(versions: Sequence[Published]) -> list[ServerPlan]:
    """Adapters of one base share a server; every other version gets its own.

    Raises `UserError` for nothing at all, or for what no vLLM server can answer with.
    """
    if not versions:
        raise UserError("there is nothing to serve", advice="`poise models` lists what is published")
    adapters: dict[str, list[Published]] = {}
    alone: dict[str, ServerPlan] = {}
    for item in versions:
        if item.version.kind == "adapter":
            adapters.setdefault(item.version.base, []).append(item)
        elif item.version.kind == "weights":
            name = item.served_name
            alone[name] = ServerPlan(name, f"artifact:{item.version.artifact}", version=name)
        else:
            raise UserError(f"{item.served_name} is a {item.version.kind} model", advice="it answers no prompts")
    names = base_names(list(adapters))
    return [_with_adapters(names[base], base, items) for base, items in adapters.items()] + list(alone.values())


def _with_adapters(name: str, base: str, items: Sequence[Published]) -> ServerPlan:
    served = tuple(dict.fromkeys(item.served_name for item in items))
    return ServerPlan(name, base, adapters=served, max_rank=max_lora_rank([item.version.rank or 0 for item in items]))


def base_names(bases: Sequence[str]) -> dict[str, str]:
    """A readable name for each pinned base, with digits of its digest where two would share one."""
    short = {base: _short(base) for base in bases}
    taken = list(short.values())
    return {base: name if taken.count(name) == 1 else f"{name}-{_digits(base)}" for base, name in short.items()}


def _short(base: str) -> str:
    scheme, _, rest = base.partition("?")[0].partition(":")
    if scheme == "artifact":
        return f"base-{_digits(base)}"
    last = rest.rpartition("@")[0].rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9._-]", "-", last).lstrip("._-") or f"base-{_digits(base)}"


def _digits(base: str) -> str:
    return base.partition("?")[0].rpartition("-" if "sha256-" in base else "@")[2][:8]
