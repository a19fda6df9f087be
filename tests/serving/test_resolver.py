from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from poise.artifacts import transfer
from poise.errors import DigestMismatch, StoreUnavailable, UserError
from poise.serving.resolver import BREAK_SECONDS, Resolver
from poise.serving.settings import ResolverSettings
from poise.store import Store
from poise.store.interface import OnBytes


class Watched:
    """A real store that counts what is asked of it, and that can be switched off."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.url = store.url
        self.asked: list[str] = []
        self.down = False
        self._lock = threading.Lock()

    def get(self, key: str) -> bytes:
        self._note(key)
        return self._store.get(key)

    def download(self, key: str, path: Path, on_bytes: OnBytes | None = None) -> None:
        self._note(key)
        self._store.download(key, path, on_bytes)

    def _note(self, key: str) -> None:
        with self._lock:
            self.asked.append(key)
        if self.down:
            raise StoreUnavailable("the store does not answer")

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)


@pytest.fixture
def settings(publisher, tmp_path: Path) -> ResolverSettings:
    return ResolverSettings(publisher.store.url, tmp_path / "cache", publisher.base, max_rank=16)


@pytest.fixture
def store(publisher) -> Watched:
    return Watched(publisher.store)


@pytest.fixture
def resolver(store: Watched, settings: ResolverSettings) -> Resolver:
    return Resolver(store, settings)


def test_an_adapter_is_downloaded_whole(resolver: Resolver, publisher) -> None:
    item = publisher.adapter("sums")
    folder = resolver.resolve("sums@1")
    assert folder is not None
    manifest = transfer.read_manifest(publisher.store, item.version.artifact)
    assert transfer.describe(folder) == manifest.files


def test_a_name_that_is_not_published_is_not_found(resolver: Resolver, publisher) -> None:
    publisher.adapter("sums")
    assert resolver.resolve("sums@2") is None
    assert resolver.resolve("other@1") is None


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/b@1", "sums", "sums@0", "sums@01", "", "sums@1/..", "x" * 5000]
)
def test_other_names_touch_neither_store_nor_disk(
    resolver: Resolver, store: Watched, settings: ResolverSettings, name: str
) -> None:
    assert resolver.resolve(name) is None
    assert store.asked == []
    assert not settings.cache.exists()


def test_an_adapter_of_another_base_is_refused(resolver: Resolver, publisher) -> None:
    publisher.adapter("sums", base="hf:other/base@abc")
    with pytest.raises(UserError, match="was made on hf:other/base@abc"):
        resolver.resolve("sums@1")


def test_a_rank_above_the_limit_is_refused(resolver: Resolver, publisher) -> None:
    publisher.adapter("wide", rank=32)
    with pytest.raises(UserError, match="rank 32, and this server takes ranks up to 16"):
        resolver.resolve("wide@1")


def test_weights_are_no_adapter(resolver: Resolver, publisher, tmp_path: Path) -> None:
    folder = tmp_path / "weights"
    folder.mkdir()
    publisher.folder("merged", folder, kind="weights", base=publisher.base)
    with pytest.raises(UserError, match="no adapter but weights"):
        resolver.resolve("merged@1")


@pytest.mark.parametrize("file", ["adapter_model.safetensors", "adapter_config.json", "manifest.json"])
def test_changed_bytes_are_refused_and_leave_nothing(
    resolver: Resolver, publisher, settings: ResolverSettings, file: str
) -> None:
    key = f"artifacts/{publisher.adapter('sums').version.artifact}/{file}"
    publisher.store.put(key, publisher.store.get(key).replace(b"l", b"L", 1))
    for _ in range(2):
        with pytest.raises(DigestMismatch):
            resolver.resolve("sums@1")
    assert not settings.cache.exists() or not any(settings.cache.iterdir())


def test_twenty_first_requests_at_once_download_once(resolver: Resolver, publisher, store: Watched) -> None:
    publisher.adapter("sums")
    with ThreadPoolExecutor(20) as pool:
        folders = set(pool.map(resolver.resolve, ["sums@1"] * 20))
    assert len(folders) == 1
    assert [key for key in store.asked if key.endswith(".safetensors")] == [
        f"artifacts/{publisher.adapter('sums').version.artifact}/adapter_model.safetensors"
    ]


def test_a_store_that_is_down_is_asked_once_until_the_break_is_over(publisher, settings: ResolverSettings) -> None:
    now = 0.0
    store = Watched(publisher.store)
    resolver = Resolver(store, settings, clock=lambda: now)
    publisher.adapter("sums")
    store.down = True
    for _ in range(5):
        with pytest.raises(StoreUnavailable):
            resolver.resolve("sums@1")
    assert len(store.asked) == 1
    store.down, now = False, BREAK_SECONDS
    assert resolver.resolve("sums@1") is not None
