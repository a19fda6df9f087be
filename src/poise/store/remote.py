"""A store behind obstore: S3, Google Cloud Storage, Azure, and memory."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from poise.errors import Conflict, NotFound, PoiseError, StoreUnavailable
from poise.store import files
from poise.store.interface import Entry, OnBytes, Stored, check_key, check_prefix

if TYPE_CHECKING:
    from obstore import Bytes, GetResult, PutMode
    from obstore.store import ObjectStore

_CONCURRENT_PARTS = 4
_MAX_PARTS = 10_000  # of one S3 upload
_CONDITIONAL_ATTEMPTS = 3
_NO_BUCKET = {"NoSuchBucket", "ContainerNotFound"}
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and, off AWS, AWS_ENDPOINT_URL",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}


class RemoteStore:
    """Conditional writes are the server's own (`If-Match`, `If-None-Match`).

    Their outcome is read back whenever it is in doubt: after a retry that met its own first attempt, and
    after a connection that broke before the reply. `patience_s` is how long the client retries a request.
    """

    def __init__(self, url: str, objects: ObjectStore, patience_s: float) -> None:
        self.url = url
        self._objects = objects
        self._patience_s = patience_s

    def __repr__(self) -> str:
        return f"RemoteStore({self.url!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a pickled store would carry its credentials: open it again by its url")

    def get(self, key: str) -> bytes:
        return self.read(key).data

    def read(self, key: str) -> Stored:
        with self._translated(check_key(key)):
            found = obstore.get(self._objects, key)
            # Google compares versions, the others ETags.
            version = {name: found.meta.get(name) for name in ("e_tag", "version")}
            tag = json.dumps({name: value for name, value in version.items() if value})
            return Stored(found.bytes().to_bytes(), tag)

    def put(self, key: str, data: bytes) -> None:
        with self._translated(check_key(key)):
            obstore.put(self._objects, key, data)

    def create(self, key: str, data: bytes) -> None:
        if not self._put_if(check_key(key), data, "create"):
            raise Conflict(f"{key} is already in {self.url}")

    def replace(self, key: str, data: bytes, tag: str) -> None:
        if not self._put_if(check_key(key), data, json.loads(tag)):
            raise Conflict(f"{key} in {self.url} has changed since it was read")

    def delete(self, key: str) -> None:
        with contextlib.suppress(NotFound), self._translated(check_key(key)):
            obstore.delete(self._objects, key)

    def list(self, prefix: str = "") -> list[Entry]:
        folder = check_prefix(prefix)
        with self._translated(folder):
            found = [meta for page in obstore.list(self._objects, folder or None) for meta in page]
        entries = [Entry(meta["path"], meta["size"], meta["last_modified"]) for meta in found]
        return sorted((entry for entry in entries if entry.key.startswith(folder)), key=lambda entry: entry.key)

    def upload(self, path: Path, key: str, on_bytes: OnBytes | None = None) -> None:
        with path.open("rb") as source, self._translated(check_key(key)):
            size = path.stat().st_size
            part = max(files.CHUNK, -(-size // _MAX_PARTS))
            data = files.chunks(source, part, on_bytes)
            if size <= part:
                obstore.put(self._objects, key, b"".join(data))
            else:
                obstore.put(self._objects, key, data, chunk_size=part, max_concurrency=_CONCURRENT_PARTS)

    def download(self, key: str, path: Path, on_bytes: OnBytes | None = None) -> None:
        with self._translated(check_key(key)):
            found = obstore.get(self._objects, key)
        missing = found.meta["size"]
        with files.arriving(path) as file:
            for chunk in self._received(key, found):
                file.write(chunk)
                missing -= len(chunk)
                if on_bytes:
                    on_bytes(len(chunk))
            if missing:
                raise StoreUnavailable(f"{self.url} ended {key} {missing} bytes early")

    def _received(self, key: str, found: GetResult) -> Iterator[Bytes]:
        with self._translated(key):
            yield from found.stream(min_chunk_size=files.CHUNK)

    def _put_if(self, key: str, data: bytes, mode: PutMode) -> bool:
        """Whether `data` is what the key now holds because of this call, or one just like it."""
        deadline = time.monotonic() + self._patience_s
        attempts = 0
        while True:
            try:
                with self._translated(key):
                    obstore.put(self._objects, key, data, mode=mode)
                return True
            except (Conflict, NotFound):
                return self._holds(key, data)
            except StoreUnavailable:  # without a reply the value may be stored all the same
                attempts += 1
                if attempts == _CONDITIONAL_ATTEMPTS or time.monotonic() >= deadline:
                    raise
                if self._holds(key, data):
                    return True

    def _holds(self, key: str, data: bytes) -> bool:
        try:
            return self.get(key) == data
        except NotFound:
            return False

    @contextlib.contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        """Chains to a summary of obstore's error, whose full text may quote signed headers and URLs."""
        try:
            yield
        except (FileNotFoundError, BaseError) as error:
            raise self._error(key, error) from type(error)(summary(error))

    def _error(self, key: str, error: FileNotFoundError | BaseError) -> PoiseError:
        if _code(error) in _NO_BUCKET:
            return StoreUnavailable(f"{self.url}: there is no such bucket", advice="Create it, or mend the url.")
        if isinstance(error, FileNotFoundError):
            return NotFound(f"{self.url} has no {key}")
        if isinstance(error, AlreadyExistsError | PreconditionError):
            return Conflict(f"{key} in {self.url} is not what it was expected to be")
        advice = f"Check {_CREDENTIALS.get(self.url.partition(':')[0], 'the environment')}."
        if _is_refusal(error):
            return StoreUnavailable(f"{self.url} refused access to {key or 'its list of objects'}", advice=advice)
        return StoreUnavailable(f"{self.url} is not available: {summary(error)}", advice=advice)


def _is_refusal(error: Exception) -> bool:
    """A listing that is refused is a `GenericError`, told by its status alone."""
    by_type = isinstance(error, PermissionDeniedError | UnauthenticatedError)
    return by_type or re.search(r"status code: 40[13]\b", summary(error)) is not None


def _code(error: Exception) -> str | None:
    """The S3 or Azure error code in the server's reply, where there was one."""
    found = re.search(r"<Code>(\w+)</Code>", str(error))
    return found[1] if found else None


def summary(error: Exception) -> str:
    """What went wrong, without the reply's body and without queries, either of which may hold credentials."""
    line = str(error).partition("\n")[0]
    line = re.sub(r"(status code: \d+[^:]*):.*", r"\1", line)
    line = re.sub(r"\?[^\s)]*", "", line)
    return f"{line} ({code})" if (code := _code(error)) else line
