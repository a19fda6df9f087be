"""Where an artifact comes from: the walk over manifests, back to base weights and training rows."""

from __future__ import annotations

from dataclasses import dataclass, field

from poise.artifacts import transfer
from poise.errors import NotFound
from poise.store import Store


@dataclass(frozen=True)
class Origin:
    """One node of the walk.

    Attributes:
        name: the input it was to the node above; empty for the artifact that was asked for.
        pinned: the pinned reference.
        method, run: what made it; None for what came from outside, or is gone from the store.
    """

    name: str
    pinned: str
    method: str | None = None
    run: str | None = None
    inputs: list[Origin] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        inputs = {item.name: item.as_json() for item in self.inputs}
        return {"pinned": self.pinned, "method": self.method, "run": self.run, "inputs": inputs}


def lineage(store: Store, artifact: str) -> Origin:
    """All that an artifact was made from; raises `NotFound` where it is not there itself."""
    transfer.read_manifest(store, artifact)
    return _origin(store, "", f"artifact:{artifact}")


def _origin(store: Store, name: str, pinned: str) -> Origin:
    if not pinned.startswith("artifact:"):
        return Origin(name, pinned)
    try:
        manifest = transfer.read_manifest(store, pinned.removeprefix("artifact:"))
    except NotFound:
        return Origin(name, pinned)
    inputs = [_origin(store, key, value) for key, value in sorted(manifest.inputs.items())]
    return Origin(name, pinned, manifest.method, manifest.run, inputs)
