"""The resolver as vLLM wants it: asynchronous, and with HTTP errors."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from fastapi import HTTPException
from vllm.lora.request import LoRARequest
from vllm.lora.resolver import LoRAResolver, LoRAResolverRegistry

from poise.errors import NotFound, PoiseError, StoreUnavailable, UserError
from poise.serving.resolver import Resolver
from poise.serving.settings import ResolverSettings
from poise.store import open_store

STORE_PATIENCE_S = 3.0  # a client waits meanwhile

_log = logging.getLogger("vllm.poise")


class PoiseResolver(LoRAResolver):  # type: ignore[misc]
    """Serves what `poise.serving.resolver` finds."""

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver

    async def resolve_lora(self, base_model_name: str, lora_name: str) -> LoRARequest | None:
        """None makes vLLM answer 404; the number it gives the adapter is vLLM's own."""
        path = await asyncio.to_thread(self._resolve, lora_name)
        return LoRARequest(lora_name, 1, str(path)) if path else None

    def _resolve(self, name: str) -> Path | None:
        try:
            return self._resolver.resolve(name)
        except (PoiseError, OSError) as error:
            _log.error("adapter %s: %s", name, error)
            raise HTTPException(status_of(error), str(error)) from error


def status_of(error: Exception) -> int:
    """The HTTP status that tells a client whose fault it was."""
    statuses = {NotFound: 404, UserError: 400, StoreUnavailable: 503}
    return next((status for kind, status in statuses.items() if isinstance(error, kind)), 500)


def register(settings: ResolverSettings) -> None:
    """Make vLLM ask our resolver, in the process that calls this."""
    store = open_store(settings.store, patience_s=STORE_PATIENCE_S)
    LoRAResolverRegistry.register_resolver("poise", PoiseResolver(Resolver(store, settings)))
