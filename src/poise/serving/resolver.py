"""From a served name to an adapter on disk: look it up in the registry, check it, download it once."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from poise.artifacts import registry, transfer
from poise.artifacts.registry import Published
from poise.errors import NotFound, StoreUnavailable, UserError
from poise.serving.settings import ResolverSettings
from poise.store import Store

BREAK_SECONDS = 3.0


class Resolver:
    """Adapters of one store for one server; safe to call from several threads.

    While the store does not answer, only one call in `BREAK_SECONDS` waits for it and the others fail at once:
    vLLM lets all requests for one name queue behind the first.
    """

    def __init__(self, store: Store, settings: ResolverSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._closed_until = float("-inf")
        self._downloading: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def resolve(self, served_name: str) -> Path | None:
        """The folder of the adapter `NAME@N`, or None where there is none; other names touch neither disk nor store.

        Raises:
            UserError: it is no adapter for this server: another base, too large a rank, not an adapter.
            StoreUnavailable: the store does not answer, or did not a moment ago.
            DigestMismatch: the store holds other bytes than the manifest names.
        """
        if registry.parse_served_name(served_name) is None:
            return None
        if self._clock() < self._closed_until:
            raise StoreUnavailable(
                f"{self._store.url} did not answer a moment ago", advice="try again in a few seconds"
            )
        try:
            return self._find(served_name)
        except StoreUnavailable:
            self._closed_until = self._clock() + BREAK_SECONDS
            raise

    def _find(self, served_name: str) -> Path | None:
        try:
            published = registry.get(self._store, served_name)
        except NotFound:
            return None
        check(published, self._settings)
        artifact = published.version.artifact
        with self._downloading[artifact]:  # the others wait, and find the folder
            return transfer.download_artifact(self._store, artifact, self._settings.cache / artifact)


def check(published: Published, settings: ResolverSettings) -> None:
    """Raise `UserError` where a version cannot be served as an adapter by a server of these settings."""
    version, name = published.version, published.served_name
    if version.kind != "adapter":
        raise UserError(f"{name} is no adapter but {version.kind}", advice=f"`poise serve {name}` gives it a server")
    if version.base != settings.base:
        # vLLM would take an adapter of any base of the same shape, and answer nonsense.
        raise UserError(
            f"{name} was made on {version.base}, and this server holds {settings.base}",
            advice=f"`poise serve {name}` starts a server with the right base",
        )
    if (version.rank or 0) > settings.max_rank:
        raise UserError(
            f"{name} has rank {version.rank}, and this server takes ranks up to {settings.max_rank}",
            advice=f"start the server anew with {name} among its versions",
        )
