from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from poise.artifacts import keys
from poise.errors import InternalError, NotFound
from poise.store import open_store


@pytest.fixture(params=["memory:", "file"])
def store(request, tmp_path):
    return open_store("memory:" if request.param == "memory:" else str(tmp_path / "store"))


def test_a_key_is_shown_once_and_only_its_digest_is_kept(store):
    record, key = keys.create_key(store, "ci")
    assert re.fullmatch(r"sk-poise-[A-Za-z0-9_-]{43}", key)
    assert re.fullmatch(r"[0-9a-f]{8}", record.id)
    assert record.sha256 == keys.digest(key)
    assert keys.list_keys(store) == [record]
    assert key.encode() not in store.get(keys.STORE_KEY)


def test_keys_are_listed_in_the_order_they_were_made(store):
    assert keys.list_keys(store) == []
    made = [keys.create_key(store, name)[0] for name in ("b", "a", "a")]
    assert keys.list_keys(store) == made
    assert len({record.sha256 for record in made}) == 3


def test_a_key_is_revoked_by_id_or_by_name(store):
    one, two, three = (keys.create_key(store, name)[0] for name in ("a", "b", "b"))
    assert keys.revoke_key(store, one.id) == [one]
    assert keys.list_keys(store) == [two, three]
    assert keys.revoke_key(store, "b") == [two, three]
    assert keys.list_keys(store) == []


def test_an_unknown_key_cannot_be_revoked(store):
    with pytest.raises(NotFound, match="nothing"):
        keys.revoke_key(store, "nothing")


def test_keys_made_at_the_same_time_are_all_kept(store):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda number: keys.create_key(store, str(number))[0], range(12)))
    assert sorted(keys.list_keys(store), key=lambda k: k.id) == sorted(made, key=lambda k: k.id)


def test_a_damaged_file_is_told_and_not_overwritten(store):
    store.put(keys.STORE_KEY, b'{"keys": 7}')
    with pytest.raises(InternalError, match="damaged"):
        keys.create_key(store, "ci")
    assert store.get(keys.STORE_KEY) == b'{"keys": 7}'
