"""The servers file: which model servers there are, and what each of them holds.

::

    {"servers": [
      {"name": "tiny", "url": "http://127.0.0.1:8001", "base": "builtin:tiny@sha256-...", "adapters": true},
      {"name": "sums-gptq", "url": "http://127.0.0.1:8002", "version": "sums-gptq@1"}
    ]}

A server of a base answers to its own `name` and, with `adapters`, to NAME@N of every adapter version made on
exactly that pinned base. A server of a version answers to that NAME@N alone. Replicas are entries that share
a name and differ in `url`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints, ValidationError, model_validator

from poise.artifacts.registry import parse_served_name
from poise.errors import SpecError


def _served_name(text: str) -> str:
    if parse_served_name(text) is None:
        raise ValueError("must be NAME@N")
    return text


def _bare_origin(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise ValueError("must be http://HOST:PORT")
    if parts.query or parts.fragment:
        raise ValueError("must have neither query nor fragment")
    return url.rstrip("/")


class Server(BaseModel):
    """One replica: where it listens, and the pinned base or the version it was started with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]*$", max_length=128)]
    url: Annotated[str, AfterValidator(_bare_origin)]
    base: Annotated[str, StringConstraints(min_length=1)] | None = None
    adapters: bool = False
    version: Annotated[str, AfterValidator(_served_name)] | None = None

    @model_validator(mode="after")
    def _holds_one_thing(self) -> Server:
        if (self.base is None) == (self.version is None):
            raise ValueError("needs either base or version")
        if self.adapters and self.base is None:
            raise ValueError("adapters needs a base")
        if self.base is not None and "@" in self.name:
            raise ValueError("the name of a base's server has no @")
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    servers: list[Server]

    @model_validator(mode="after")
    def _replicas_agree(self) -> _File:
        first: dict[str, Server] = {}
        for server in self.servers:
            other = first.setdefault(server.name, server)
            if other.model_copy(update={"url": server.url}) != server:
                raise ValueError(f"replicas named {server.name!r} differ in more than their url")
        if len({server.url for server in self.servers}) != len(self.servers):
            raise ValueError("two servers have the same url")
        return self


def load_servers(path: Path) -> tuple[Server, ...]:
    """Raises `SpecError` for a file that is missing, is not JSON or does not fit the format above."""
    try:
        return tuple(_File.model_validate(json.loads(path.read_bytes())).servers)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        message = f"{path}: {where}: {first['msg']}"
        raise SpecError(message, advice="Mend the servers file.") from error
    except (OSError, ValueError) as error:
        message = f"{path} cannot be read as a servers file: {error}"
        raise SpecError(message, advice='It is JSON: {"servers": [{"name", "url", ...}]}.') from error
