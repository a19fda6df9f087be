"""From a URL to a store."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, MemoryStore, S3Store

from poise.errors import StoreUnavailable, UserError
from poise.store.interface import Store, check_key
from poise.store.local import FileStore
from poise.store.remote import RemoteStore, summary

if TYPE_CHECKING:
    from obstore.store import ClientConfig, RetryConfig

_REMOTE = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
_FORMS = "Use a path, file:///PATH, memory:, s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or az://CONTAINER/PREFIX."
_CLIENT: ClientConfig = {
    "allow_http": True,  # only for an endpoint that says http itself
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=60),
    "timeout": timedelta(days=1),  # of a whole request: one download may be hundreds of gigabytes
}


def open_store(url: str, *, patience_s: float = 170.0) -> Store:
    """The store at a path or URL. Remote ones take endpoint and credentials from the environment
    (`AWS_*`, `GOOGLE_*`, `AZURE_*`), and retry for `patience_s` while the server does not answer, so as to
    outlast its restart. `memory:` is a new, empty store each time. Raises `UserError` for any other URL.
    """
    if url == "memory:":
        return RemoteStore(url, MemoryStore(), patience_s)
    if "://" not in url:
        return FileStore(Path(url))
    parts = urlsplit(url)
    if parts.username is not None or parts.query or parts.fragment:
        raise UserError(
            "the url of a store holds no credentials and no options", advice="Put them into the environment."
        )
    if parts.scheme == "file" and not parts.netloc and parts.path:
        return FileStore(Path(unquote(parts.path)))
    if parts.scheme not in _REMOTE or not parts.netloc:
        raise UserError(f"{url!r} is not the url of a store", advice=_FORMS)
    return _open_remote(parts.scheme, parts.netloc, parts.path.strip("/"), patience_s)


def _open_remote(scheme: str, bucket: str, prefix: str, patience_s: float) -> RemoteStore:
    url = f"{scheme}://{bucket}/{prefix}".rstrip("/")
    retries: RetryConfig = {
        "max_retries": 1000,  # time is what ends them
        "retry_timeout": timedelta(seconds=patience_s),
        "backoff": {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=5), "base": 2},
    }
    try:
        path = check_key(prefix) if prefix else None
        objects = _REMOTE[scheme](bucket, prefix=path, client_options=_CLIENT, retry_config=retries)
    except ValueError as error:
        raise UserError(f"{url!r} is not the url of a store", advice=_FORMS) from error
    except BaseError as error:
        advice = "Check the environment variables of its cloud."
        raise StoreUnavailable(f"cannot open {url}: {summary(error)}", advice=advice) from type(error)(summary(error))
    return RemoteStore(url, objects, patience_s)
