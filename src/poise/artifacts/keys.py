"""API keys of the gateway. The store keeps their digests only; a key itself is shown once, when it is made."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Literal

from pydantic import ValidationError

from poise.artifacts.manifest import Record
from poise.errors import Conflict, InternalError, NotFound
from poise.specs import canonical
from poise.store import Store

STORE_KEY = "gateway/keys.json"
_PREFIX = "sk-poise-"
_ATTEMPTS = 20


class ApiKey(Record):
    """`id`: 8 hex digits to speak of the key by; `sha256`: hex digest of the whole key."""

    id: str
    name: str
    sha256: str
    created: datetime


class _File(Record):
    """The nonce makes every value new, so that one that returns to what it was is still seen as changed."""

    schema_version: Literal[1] = 1
    keys: tuple[ApiKey, ...] = ()
    nonce: str = ""


def digest(key: str) -> str:
    """A plain hash is enough: a key holds 256 random bits, so there is nothing to guess."""
    return hashlib.sha256(key.encode()).hexdigest()


def create_key(store: Store, name: str) -> tuple[ApiKey, str]:
    """Returns the record and the key, which nothing can show again."""
    key = _PREFIX + secrets.token_urlsafe(32)
    record = ApiKey(id=secrets.token_hex(4), name=name, sha256=digest(key), created=datetime.now(UTC))
    _change(store, lambda keys: [*keys, record])
    return record, key


def list_keys(store: Store) -> list[ApiKey]:
    try:
        return _parse(store.get(STORE_KEY))
    except NotFound:
        return []


def revoke_key(store: Store, name: str) -> list[ApiKey]:
    """Revokes every key whose id or name is `name`, and returns them. Raises `NotFound` if there is none."""
    doomed = [key for key in list_keys(store) if name in (key.id, key.name)]
    if not doomed:
        raise NotFound(f"there is no key {name!r}", advice="`poise keys list` shows ids and names.")
    ids = {key.id for key in doomed}
    _change(store, lambda keys: [key for key in keys if key.id not in ids])
    return doomed


def _change(store: Store, change: Callable[[Sequence[ApiKey]], Sequence[ApiKey]]) -> None:
    """Reads, changes and compares-and-sets until no one else came between."""
    for _ in range(_ATTEMPTS):
        try:
            stored = store.read(STORE_KEY)
        except NotFound:
            stored = None
        keys = change(_parse(stored.data) if stored else [])
        try:
            if stored:
                store.replace(STORE_KEY, _dump(keys), stored.tag)
            else:
                store.create(STORE_KEY, _dump(keys))
        except Conflict:
            continue
        return
    raise Conflict(f"{STORE_KEY} is being changed by others all the time", advice="Try again.")


def _dump(keys: Sequence[ApiKey]) -> bytes:
    return canonical(_File(keys=tuple(keys), nonce=secrets.token_hex(8)).model_dump(mode="json"))


def _parse(data: bytes) -> list[ApiKey]:
    try:
        return list(_File.model_validate_json(data).keys)
    except ValidationError as error:
        raise InternalError(f"{STORE_KEY} in the store is damaged: {error}") from error
