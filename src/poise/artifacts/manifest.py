"""Manifests: what an artifact is, what it was made of, and the sha256 of every file in it.

An artifact's id is the digest of its manifest's bytes, so a manifest proves itself and, through it, every file.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from poise.artifacts.task import Kind
from poise.errors import DigestMismatch
from poise.specs import canonical, digest


class Record(BaseModel):
    """What Poise itself has stored: read leniently, since a newer version may have written more."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class File(Record):
    """One file of an artifact: `path` relative to the artifact, `size` in bytes."""

    path: str
    size: int
    sha256: str


class Manifest(Record):
    """Everything known of an artifact.

    Attributes:
        run: id of the run that made it.
        spec: digest of that run's resolved spec.
        code: version and digest of the code that made it.
        inputs: pinned references by the name of the input.
        base: the pinned full weights underneath: of an adapter, those it must be served on.
        seconds: wall time of the last attempt; `gpu_seconds` is that times the GPUs.
    """

    schema_version: Literal[1] = 1
    kind: Kind | Literal["checkpoint"]
    method: str
    run: str
    spec: str
    code: str
    inputs: dict[str, str]
    base: str
    files: tuple[File, ...]
    quantization: str | None = None
    rank: int | None = None
    metrics: dict[str, float] = {}
    libraries: dict[str, str] = {}
    image: str | None = None
    seconds: float = 0.0
    gpu_seconds: float = 0.0
    created: str = ""

    def to_bytes(self) -> bytes:
        return canonical(self.model_dump(mode="json"))

    @property
    def id(self) -> str:
        """`sha256-HEX` of the manifest's own bytes."""
        return digest(self.to_bytes())

    def file(self, path: str) -> File | None:
        return next((file for file in self.files if file.path == path), None)

    @classmethod
    def from_bytes(cls, data: bytes, expected: str) -> Manifest:
        """Read a stored manifest; raises `DigestMismatch` where its bytes are not those of the id `expected`."""
        if (actual := digest(data)) != expected:
            raise DigestMismatch(
                f"the manifest of artifact {expected} was changed in the store (its bytes are {actual})",
                advice="restore the store from a backup, or make the artifact again",
            )
        values: dict[str, Any] = json.loads(data)
        return cls.model_validate(values)
