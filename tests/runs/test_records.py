"""Metrics, checkpoints, names: what a run leaves in the store, whatever becomes of its worker."""

from pathlib import Path

import pytest

from poise.artifacts.manifest import Manifest
from poise.errors import Conflict, NotFound
from poise.runs import checkpoints, record
from poise.runs.claim import claim
from poise.runs.lease import Lease
from poise.runs.metrics import MetricsLog, read_metrics
from poise.runs.record import Resolved, Status
from poise.specs import canonical
from poise.store import Store, open_store

RUN = "default.sums.0a1b2c3d"
MANIFEST = Manifest(
    kind="adapter", method="sft", run=RUN, spec="sha256-0", code="0", inputs={}, base="builtin:tiny@sha256-1", files=()
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def test_each_step_is_recorded_once_also_after_a_resume(store: Store) -> None:
    first = MetricsLog(store, RUN, 0)
    for step in range(1, 8):
        first.add(step, {"loss": float(step)})
        if step == 3:
            first.flush()
    first.flush()
    resumed = MetricsLog(store, RUN, 5)
    for step in range(6, 10):
        resumed.add(step, {"loss": step + 0.5})
    resumed.flush()
    found = read_metrics(store, RUN)
    assert [row["step"] for row in found] == list(range(1, 10))
    assert [row["loss"] for row in found] == [1, 2, 3, 4, 5, 6.5, 7.5, 8.5, 9.5]


def checkpoint(tmp_path: Path, content: str) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir(exist_ok=True)
    (folder / "optimizer.pt").write_text(content)
    return folder


def test_the_newest_two_checkpoints_are_kept_and_the_newest_is_restored(store: Store, tmp_path: Path) -> None:
    for step in (10, 20, 30):
        checkpoints.save(store, RUN, step, checkpoint(tmp_path, f"at {step}"), MANIFEST)
    assert checkpoints.steps(store, RUN) == [20, 30]
    restored = checkpoints.restore(store, RUN, tmp_path / "restored")
    assert restored is not None
    assert restored.name == "checkpoint-30"
    assert (restored / "optimizer.pt").read_text() == "at 30"


def test_a_damaged_checkpoint_is_passed_over(store: Store, tmp_path: Path) -> None:
    for step in (10, 20):
        checkpoints.save(store, RUN, step, checkpoint(tmp_path, f"at {step}"), MANIFEST)
    store.put(f"runs/{RUN}/checkpoints/20/optimizer.pt", b"tampered")
    restored = checkpoints.restore(store, RUN, tmp_path / "restored")
    assert restored is not None
    assert restored.name == "checkpoint-10"


def test_a_checkpoint_whose_manifest_is_missing_is_not_seen(store: Store, tmp_path: Path) -> None:
    checkpoints.save(store, RUN, 10, checkpoint(tmp_path, "whole"), MANIFEST)
    store.put(f"runs/{RUN}/checkpoints/20/optimizer.pt", b"half of an upload")
    assert checkpoints.steps(store, RUN) == [10]
    assert checkpoints.restore(store, "default.other.0a1b2c3d", tmp_path / "none") is None


def resolved(name: str = "sums", **spec: object) -> Resolved:
    return Resolved(
        id=record.new_id("default", name),
        run={"spec": {"method": "sft", **spec}},
        inputs={"base": "builtin:tiny@sha256-1"},
        base="builtin:tiny@sha256-1",
        code="0",
        created=record.now(),
    )


def submit(store: Store, run: Resolved) -> str:
    claimed = claim(store, run)
    record.write_status(store, claimed.id, Status())
    store.put(f"runs/{claimed.id}/resolved.json", canonical(claimed.model_dump(mode="json")))
    return claimed.id


def test_an_interrupted_run_of_the_same_settings_is_continued(store: Store) -> None:
    first = submit(store, resolved())
    assert submit(store, resolved()) == first


def test_an_interrupted_run_of_other_settings_keeps_the_name(store: Store) -> None:
    submit(store, resolved())
    with pytest.raises(Conflict, match="other settings"):
        claim(store, resolved(max_steps=5))


def test_a_run_that_is_being_worked_on_keeps_the_name(store: Store) -> None:
    first = submit(store, resolved())
    with Lease(store, first), pytest.raises(Conflict, match="is being worked on"):
        claim(store, resolved())


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
def test_a_finished_run_gives_the_name_back(store: Store, phase: str) -> None:
    first = submit(store, resolved())
    record.write_status(store, first, Status.model_validate({"phase": phase}))
    assert submit(store, resolved()) != first


def test_runs_of_other_names_do_not_meet(store: Store) -> None:
    assert submit(store, resolved("a")) != submit(store, resolved("b"))


def test_a_run_is_found_by_name_or_id_and_the_newest_of_a_name_counts(store: Store) -> None:
    first = submit(store, resolved())
    record.write_status(store, first, Status(phase="Failed"))
    second = submit(store, resolved())
    assert record.find_run(store, "sums") == second
    assert record.find_run(store, first) == first
    with pytest.raises(NotFound, match="did you mean sums"):
        record.find_run(store, "smus")


def test_the_digest_of_a_run_is_of_what_its_result_depends_on() -> None:
    one = resolved(publish={"model": "a"})
    assert one.digest == resolved(publish={"model": "b"}).digest
    assert one.digest != resolved(max_steps=3).digest
    assert one.digest != one.model_copy(update={"code": "1"}).digest
    assert one.digest != one.model_copy(update={"inputs": {"base": "builtin:tiny@sha256-2"}}).digest


def test_a_run_that_was_cancelled_while_nobody_worked_on_it_gives_the_name_back(store: Store) -> None:
    first = submit(store, resolved())
    store.put(f"runs/{first}/cancel", b"now")
    assert submit(store, resolved()) != first


def test_an_interrupted_run_of_another_version_of_the_code_is_not_continued(store: Store) -> None:
    submit(store, resolved())
    with pytest.raises(Conflict, match="another version of the code"):
        claim(store, resolved().model_copy(update={"code": "1"}))
