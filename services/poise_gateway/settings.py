"""The gateway's settings. Nothing else in it reads the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poise.errors import SpecError

_Seconds = Annotated[float, Field(gt=0)]
_VARIABLES = {"store": "POISE_STORE"}


class Settings(BaseModel):
    """Each is read from POISE_GATEWAY_ and its name in capitals, `store` from POISE_STORE.

    Attributes:
        store: URL of the store.
        servers: path of the servers file.
        bind: HOST:PORT to listen on; port 0 takes a free one.
        open: answer without keys.
        max_body_bytes: the largest request body.
        max_choices: the largest `n`.
        header_seconds: for a request's head to arrive.
        body_seconds: for a request's body to arrive.
        connect_seconds: for a connection to a model server.
        silence_seconds: the longest that a model server may send nothing, its queue included.
        poll_seconds: between two looks at store, servers file and servers' health.
        grace_seconds: for streams to end after SIGTERM.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    store: str
    servers: Path
    bind: Annotated[str, Field(pattern=r"^(\[[0-9a-fA-F:]+\]|[^:\s]+):[0-9]{1,5}$")] = "127.0.0.1:8080"
    open: bool = False
    max_body_bytes: Annotated[int, Field(gt=0)] = 8 * 1024 * 1024
    max_choices: Annotated[int, Field(gt=0)] = 8
    header_seconds: _Seconds = 10.0
    body_seconds: _Seconds = 30.0
    connect_seconds: _Seconds = 5.0
    silence_seconds: _Seconds = 600.0
    poll_seconds: _Seconds = 2.0
    grace_seconds: _Seconds = 30.0

    @property
    def host(self) -> str:
        return self.bind.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.bind.rpartition(":")[2])

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Raises `SpecError` that names the variable at fault. An empty variable counts as unset."""
        variables = {field: _variable(field) for field in cls.model_fields}
        values = {f: environment[name] for f, name in variables.items() if environment.get(name)}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            name = variables[str(first["loc"][0])]
            advice = f"Set {name}; see {cls.__module__} for what it takes."
            raise SpecError(f"{name}: {first['msg']}", advice=advice) from error


def _variable(field: str) -> str:
    return _VARIABLES.get(field, f"POISE_GATEWAY_{field.upper()}")
