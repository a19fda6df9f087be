"""What every store must do, on every store."""

from __future__ import annotations

import json
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from poise.errors import Conflict, NotFound
from poise.store import Store, open_store


def test_put_then_get(store: Store) -> None:
    store.put("runs/a/run.yaml", b"one")
    store.put("runs/a/run.yaml", b"two")

    assert store.get("runs/a/run.yaml") == b"two"


def test_an_empty_value_is_a_value(store: Store, tmp_path: Path) -> None:
    store.put("runs/a/cancel", b"")
    store.download("runs/a/cancel", tmp_path / "cancel")

    assert store.get("runs/a/cancel") == b""
    assert (tmp_path / "cancel").read_bytes() == b""


def test_a_missing_key_is_not_found(store: Store, tmp_path: Path) -> None:
    store.put("runs/a/status.json", b"{}")

    for key in ("runs/b", "runs/a", "runs/a/status.json/c"):
        with pytest.raises(NotFound, match=key):
            store.get(key)
        with pytest.raises(NotFound):
            store.read(key)
        with pytest.raises(NotFound):
            store.download(key, tmp_path / "nothing")
    assert list(tmp_path.glob("*noth*")) == []


def test_create_refuses_a_key_that_has_another_value(store: Store) -> None:
    store.create("models/m/1.json", b"first")

    with pytest.raises(Conflict, match=r"models/m/1\.json"):
        store.create("models/m/1.json", b"second")
    assert store.get("models/m/1.json") == b"first"


def test_create_of_the_same_bytes_again_is_a_success(store: Store) -> None:
    store.create("models/m/1.json", b"first")
    store.create("models/m/1.json", b"first")

    assert store.get("models/m/1.json") == b"first"


def test_replace_takes_the_tag_of_the_value_that_is_there(store: Store) -> None:
    store.put("aliases/a.json", b"1")
    store.replace("aliases/a.json", b"2", store.read("aliases/a.json").tag)
    store.replace("aliases/a.json", b"3", store.read("aliases/a.json").tag)

    assert store.get("aliases/a.json") == b"3"


def test_replace_refuses_a_tag_that_is_no_longer_true(store: Store) -> None:
    store.put("aliases/a.json", b"1")
    old = store.read("aliases/a.json")
    store.put("aliases/a.json", b"2")

    with pytest.raises(Conflict, match="changed"):
        store.replace("aliases/a.json", b"3", old.tag)
    assert store.get("aliases/a.json") == b"2"


def test_replace_refuses_a_key_that_is_gone(store: Store) -> None:
    store.put("aliases/a.json", b"1")
    old = store.read("aliases/a.json")
    store.delete("aliases/a.json")

    with pytest.raises(Conflict):
        store.replace("aliases/a.json", b"2", old.tag)
    assert store.list() == []


def test_a_nonce_tells_a_value_from_its_own_return(store: Store) -> None:
    def value(target: str) -> bytes:
        return json.dumps({"target": target, "nonce": secrets.token_hex(8)}).encode()

    store.put("aliases/a.json", value("A"))
    first = store.read("aliases/a.json")
    store.replace("aliases/a.json", value("B"), first.tag)
    store.replace("aliases/a.json", value("A"), store.read("aliases/a.json").tag)

    with pytest.raises(Conflict):
        store.replace("aliases/a.json", value("C"), first.tag)


def test_delete_of_a_missing_key_is_fine(store: Store) -> None:
    store.put("runs/a/cancel", b"x")
    for key in ("runs/a/cancel", "runs/a/cancel", "runs", "runs/a/cancel/b"):
        store.delete(key)

    assert store.list() == []


def test_a_list_is_sorted_and_below_its_folder(store: Store) -> None:
    for key in ("runs/b/status.json", "runs/a/z", "runs/a/m/1", "runs/a-b/x", "run", "runs/a/B"):
        store.put(key, key.encode())

    everything = ["run", "runs/a-b/x", "runs/a/B", "runs/a/m/1", "runs/a/z", "runs/b/status.json"]
    assert [entry.key for entry in store.list()] == everything
    assert [entry.key for entry in store.list("runs/a")] == ["runs/a/B", "runs/a/m/1", "runs/a/z"]
    assert store.list("runs/a/") == store.list("runs/a")
    assert [entry.key for entry in store.list("ru")] == []
    assert [entry.key for entry in store.list("run")] == []


def test_a_listing_tells_size_and_time(store: Store) -> None:
    store.put("runs/a/run.yaml", b"12345")
    (entry,) = store.list()

    assert entry.size == 5
    assert abs(entry.modified - datetime.now(UTC)) < timedelta(minutes=5)


@pytest.mark.parametrize(
    "key", ["a b", "a%20b", "a#1", "é/ü", "e\u0301", "a*?[x]", "{~}|", "a+b&c=d", "a:b@c", "'\"<>", ".gitattributes"]
)
def test_a_key_comes_back_as_it_was_given(store: Store, key: str) -> None:
    store.put(f"artifacts/{key}", b"1")

    assert store.get(f"artifacts/{key}") == b"1"
    assert [entry.key for entry in store.list("artifacts")] == [f"artifacts/{key}"]


@pytest.mark.parametrize(
    "key",
    ["", "/", "/etc/passwd", "../a", "a/../b", "a/..", ".", "a/./b", "a//b", "a/", "a\\b", "a\nb", "a\0", ".store/x"],
)
def test_a_key_that_is_no_plain_relative_path_is_refused(store: Store, key: str, tmp_path: Path) -> None:
    operations = [
        lambda: store.get(key),
        lambda: store.read(key),
        lambda: store.put(key, b""),
        lambda: store.create(key, b""),
        lambda: store.replace(key, b"", "tag"),
        lambda: store.delete(key),
        lambda: store.upload(Path(__file__), key),
        lambda: store.download(key, tmp_path / "x"),
    ]
    for operation in operations:
        with pytest.raises(ValueError, match=r"key|\.store"):
            operation()
    assert store.list() == []


def test_a_folder_that_leaves_the_store_is_refused(store: Store) -> None:
    for prefix in ("..", "/", "a/..", "/etc"):
        with pytest.raises(ValueError, match="key"):
            store.list(prefix)


@pytest.mark.parametrize("size", [0, 1, 8 * 1024 * 1024, 20 * 1024 * 1024 + 7])
def test_files_of_all_sizes_travel_up_and_down(store: Store, tmp_path: Path, size: int) -> None:
    data = secrets.token_bytes(size)
    source, target = tmp_path / "source", tmp_path / "new" / "target"
    source.write_bytes(data)
    sent: list[int] = []
    received: list[int] = []

    store.upload(source, "artifacts/x/model.safetensors", sent.append)
    store.download("artifacts/x/model.safetensors", target, received.append)

    assert target.read_bytes() == data
    assert sum(sent) == sum(received) == size
    assert [path.name for path in target.parent.iterdir()] == ["target"]


def test_upload_and_download_overwrite(store: Store, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    store.put("a", b"old")
    target.write_bytes(b"old, and longer")
    source.write_bytes(b"new")

    store.upload(source, "a")
    store.download("a", target)

    assert target.read_bytes() == b"new"


def test_an_upload_that_is_interrupted_leaves_the_old_value(store: Store, tmp_path: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    source = tmp_path / "source"
    source.write_bytes(secrets.token_bytes(20 * 1024 * 1024))
    store.put("a", b"old")

    with pytest.raises(KeyboardInterrupt):
        store.upload(source, "a", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.upload(source, "b", interrupt)
    assert store.get("a") == b"old"
    assert [entry.key for entry in store.list()] == ["a"]


def test_a_download_that_is_interrupted_leaves_no_file(store: Store, tmp_path: Path) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    store.put("a", b"value")
    (tmp_path / "here").mkdir()

    with pytest.raises(KeyboardInterrupt):
        store.download("a", tmp_path / "here" / "a", interrupt)
    assert list((tmp_path / "here").iterdir()) == []


def test_the_url_opens_the_same_store_again(store: Store) -> None:
    store.put("a", b"1")
    again = open_store(store.url)

    assert [entry.key for entry in again.list()] == ([] if store.url == "memory:" else ["a"])
