"""Which URLs open which store."""

from __future__ import annotations

from pathlib import Path

import pytest

from poise.errors import StoreUnavailable, UserError
from poise.store import open_store


def test_a_path_and_its_url_open_the_same_store(tmp_path: Path) -> None:
    root = tmp_path / "a folder, 100% ü"
    open_store(str(root)).put("a", b"1")

    assert open_store(root.as_uri()).get("a") == b"1"
    assert open_store(str(root)).url == root.as_uri()


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))

    assert open_store("~/store").url == f"file://{tmp_path}/store"


def test_memory_is_a_new_store_each_time() -> None:
    open_store("memory:").put("a", b"1")

    assert open_store("memory:").list() == []


@pytest.mark.parametrize(
    "url", ["s3://bucket", "s3://bucket/deep/prefix", "gs://bucket/prefix", "az://container/prefix"]
)
def test_remote_stores_open_without_a_connection(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")

    assert open_store(url).url == url
    assert open_store(f"{url}/").url == url


def test_azure_without_an_account_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AZURE_STORAGE_ACCOUNT_NAME", raising=False)

    with pytest.raises(StoreUnavailable, match="Account must be specified"):
        open_store("az://container")


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://host/path", "https://host/bucket", "s3://", "s3:///prefix", "file://host/path", "file://"),
        *("memory://", "s3://bucket/../other", "s3://bucket/a//b", "gs://bucket/./a"),
    ],
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(UserError, match="not the url of a store") as caught:
        open_store(url)
    assert "s3://BUCKET/PREFIX" in str(caught.value)


@pytest.mark.parametrize(
    "url", ["s3://me:hunter2@bucket/a", "s3://hunter2@bucket", "az://c/a?sig=hunter2", "gs://b#hunter2"]
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(UserError, match="credentials") as caught:
        open_store(url)
    assert "hunter2" not in str(caught.value)
