"""What becomes of a run after its worker: parity decides, and every step of it may be repeated."""

from pathlib import Path

import pytest

from poise.artifacts import aliases, registry, transfer
from poise.artifacts.lineage import lineage
from poise.artifacts.manifest import Manifest
from poise.artifacts.probe import FILE, REFERENCE_FILE, Probe, Scored
from poise.errors import DigestMismatch
from poise.runners.finish import finish
from poise.runs import record
from poise.runs.record import Resolved, Status
from poise.specs import canonical
from poise.store import Store, open_store

BASE = "builtin:tiny@sha256-1"
RUN = "default.small.0a1b2c3d"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def probe(shift: float) -> Probe:
    return Probe("vllm", "float32", (Scored((1, 2, 3), (-1.0 - shift, -2.0 + shift)),))


def worked(store: Store, folder: Path, shift: float, quantization: str | None = "gptq") -> str:
    """A run whose worker has just stored an artifact that is `shift` nats away from what it was made of."""
    folder.mkdir(exist_ok=True)
    probe(0).write(folder / REFERENCE_FILE)
    probe(shift).write(folder / FILE)
    manifest = Manifest(
        kind="weights", method="quantize", run=RUN, spec="sha256-0", code="0", inputs={"base": BASE}, base=BASE,
        files=transfer.describe(folder), quantization=quantization,
    )  # fmt: skip
    artifact = transfer.upload_artifact(store, folder, manifest)
    spec = {"method": "quantize", "publish": {"model": "small"}}
    resolved = Resolved(id=RUN, run={"spec": spec}, inputs={"base": BASE}, base=BASE, code="0", created="")
    store.put(f"runs/{RUN}/resolved.json", canonical(resolved.model_dump(mode="json")))
    record.write_status(store, RUN, Status(phase="Publishing", artifact=artifact))
    return artifact


def test_weights_that_answer_as_before_are_published_and_remembered(store: Store, tmp_path: Path) -> None:
    artifact = worked(store, tmp_path / "made", 0.09)
    status = finish(store, RUN)
    assert (status.phase, status.published) == ("Succeeded", "small@1")
    assert status.parity is not None
    assert status.parity["mean"] == pytest.approx(0.09)
    assert aliases.read(store, "small").targets[0].version == "small@1"
    assert [entry.key for entry in store.list("steps")] == [f"steps/{record.read_resolved(store, RUN).digest}.json"]
    assert registry.get(store, "small@1").version.artifact == artifact


@pytest.mark.parametrize(("shift", "quantization"), [(0.11, "gptq"), (0.002, None), (float("nan"), "awq")])
def test_weights_that_answer_otherwise_stay_unpublished_and_the_numbers_are_told(
    store: Store, tmp_path: Path, shift: float, quantization: str | None
) -> None:
    worked(store, tmp_path / "made", shift, quantization)
    status = finish(store, RUN)
    assert (status.phase, status.reason, status.published) == ("Failed", "ParityRefused", None)
    assert status.message is not None
    assert "nats" in status.message or "not finite" in status.message
    assert registry.names(store) == []
    assert aliases.all_aliases(store) == {}
    assert store.list("steps") == []


def test_finishing_again_changes_nothing(store: Store, tmp_path: Path) -> None:
    worked(store, tmp_path / "made", 0.0)
    first = finish(store, RUN)
    assert finish(store, RUN) == first
    record.write_status(store, RUN, first.model_copy(update={"phase": "Publishing"}))
    assert finish(store, RUN).published == "small@1"
    assert len(registry.versions(store, "small")) == 1


def test_a_probe_that_was_changed_in_the_store_is_not_believed(store: Store, tmp_path: Path) -> None:
    artifact = worked(store, tmp_path / "made", 0.5)
    store.put(f"artifacts/{artifact}/{FILE}", store.get(f"artifacts/{artifact}/{REFERENCE_FILE}"))
    with pytest.raises(DigestMismatch):
        finish(store, RUN)
    assert registry.names(store) == []


def test_lineage_leads_back_to_what_came_from_outside(store: Store, tmp_path: Path) -> None:
    artifact = worked(store, tmp_path / "made", 0.0)
    origin = lineage(store, artifact)
    assert (origin.method, origin.run) == ("quantize", RUN)
    assert [(item.name, item.pinned, item.method) for item in origin.inputs] == [("base", BASE, None)]
