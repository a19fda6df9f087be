"""What happens to a run after its worker: parity, publication, and the note that saves the next run of it.

Done by whoever runs the workers, never by one of them; every step may be repeated.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from poise.artifacts import aliases, parity, registry, transfer
from poise.artifacts.manifest import Manifest
from poise.artifacts.parity import Parity
from poise.artifacts.probe import FILE, REFERENCE_FILE, Probe
from poise.errors import ParityRefused
from poise.runs import record
from poise.runs.record import Status
from poise.specs import canonical
from poise.store import Store


def finish(store: Store, run: str) -> Status:
    """Take a run from `Publishing` to its end: published where its spec says so and its checks hold."""
    status = record.read_status(store, run)
    if status.phase != "Publishing" or status.artifact is None:
        return status
    resolved = record.read_resolved(store, run)
    manifest = transfer.read_manifest(store, status.artifact)
    changes: dict[str, Any] = {"phase": "Succeeded", "reason": None, "message": None, "finished": record.now()}
    try:
        changes |= settle(store, manifest, status.artifact, resolved.run["spec"].get("publish"))
    except ParityRefused as error:
        changes |= {"phase": "Failed", "reason": error.reason, "message": str(error)}
    else:
        if resolved.is_pinned:
            remember(store, resolved.digest, status.artifact)
    return record.write_status(store, run, Status.model_validate({**status.model_dump(), **changes}))


def settle(store: Store, manifest: Manifest, artifact: str, publish: dict[str, str] | None) -> dict[str, Any]:
    """Check an artifact and publish it where asked to; returns what the status says of it.

    Raises `ParityRefused` with the numbers; the artifact then stays unpublished.
    """
    settled: dict[str, Any] = {}
    measured = measure_parity(store, manifest, artifact)
    if measured is not None:
        settled["parity"] = asdict(measured) | {"description": measured.describe()}
        if not measured.ok:
            raise ParityRefused(
                f"not published: {measured.describe()}",
                advice="use a smaller group_size, more calibration rows, or the other format"
                if manifest.quantization
                else "merge with `dtype: fp32`, or look at the adapter's own report",
            )
    if publish:
        published = registry.publish(store, publish["model"], manifest)
        aliases.create(store, published.name, published.served_name)
        settled["published"] = published.served_name
    return settled


def measure_parity(store: Store, manifest: Manifest, artifact: str) -> Parity | None:
    """Compare what went into a merge or quantization with what came out; None for what was trained."""
    reference = transfer.read_file(store, artifact, REFERENCE_FILE)
    candidate = transfer.read_file(store, artifact, FILE)
    if reference is None or candidate is None:
        return None
    before = Probe.from_bytes(reference)
    limit = parity.limit_for(manifest.quantization, Probe.from_bytes(candidate).dtype)
    return parity.compare(before, Probe.from_bytes(candidate), limit)


def remember(store: Store, digest: str, artifact: str) -> None:
    """Note that a resolved spec of this digest has made `artifact`."""
    store.put(f"steps/{digest}.json", canonical({"artifact": artifact}))
