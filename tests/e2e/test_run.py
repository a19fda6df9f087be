"""One run from file to published version, as processes, with real training in it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from poise.artifacts import transfer
from poise.runs import checkpoints, record
from poise.runs.metrics import read_metrics
from poise.store import Store

Poise = Callable[..., subprocess.CompletedProcess[str]]
Write = Callable[..., Path]


def losses(store: Store, run: str) -> list[float]:
    return [row["loss"] for row in read_metrics(store, run)]


def test_a_run_trains_publishes_and_can_be_looked_at(poise: Poise, write: Write, store: Store) -> None:
    done = poise("run", write(), "--json")
    assert done.returncode == 0, done.stderr
    (outcome,) = json.loads(done.stdout)
    assert (outcome["phase"], outcome["published"], outcome["step"]) == ("Succeeded", "sums@1", 6)
    run = outcome["run"]

    manifest = transfer.read_manifest(store, outcome["artifact"])
    assert (manifest.kind, manifest.rank, manifest.run) == ("adapter", 4, run)
    assert manifest.base == manifest.inputs["base"]
    assert {file.path for file in manifest.files} == {"adapter_config.json", "adapter_model.safetensors", "probe.json"}
    assert manifest.libraries["trl"]
    assert [row["step"] for row in read_metrics(store, run)] == [1, 2, 3, 4, 5, 6]
    assert losses(store, run)[-1] < losses(store, run)[0]
    assert checkpoints.steps(store, run) == [4, 6]
    assert store.get(f"runs/{run}/run.yaml") == write().read_bytes()

    assert [item["run"] for item in json.loads(poise("runs", "--json").stdout)] == [run]
    assert json.loads(poise("status", "tune", "--json").stdout)["artifact"] == outcome["artifact"]
    assert poise("status", "tune").stdout.count("sums@1") == 1
    assert poise("logs", "tune").returncode == 0
    listed = json.loads(poise("models", "--json").stdout)
    assert listed["versions"][0]["served_name"] == "sums@1"
    assert listed["aliases"]["sums"]["targets"] == [{"version": "sums@1", "weight": 1.0}]


def interrupted(environment: dict[str, str], file: Path, store: Store, after: int, number: int) -> int:
    """Start `poise run`, send it a signal once `after` steps are done, and return its exit code."""
    process = subprocess.Popen(
        [sys.executable, "-m", "poise.cli", "run", str(file)], env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    log = Path(environment["POISE_HOME"]) / "logs"
    while process.poll() is None:
        if any(f'"step": {after},' in path.read_text() for path in log.glob(f"*.{file.stem}.*.log")):
            process.send_signal(number)
            break
        time.sleep(0.02)
    return process.wait(120)


def test_sigterm_saves_a_checkpoint_and_the_resumed_run_has_the_same_losses(
    poise: Poise, write: Write, store: Store, environment: dict[str, str]
) -> None:
    assert poise("run", write("whole", max_steps=40, save_steps=100)).returncode == 0
    whole = losses(store, record.find_run(store, "whole"))

    file = write("broken", max_steps=40, save_steps=100)
    assert interrupted(environment, file, store, 7, signal.SIGTERM) == 75
    run = record.find_run(store, "broken")
    status = record.read_status(store, run)
    assert status.phase == "Interrupted"
    assert 7 <= status.step < 40
    assert checkpoints.steps(store, run) == [status.step]

    resumed = poise("run", file, "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)[0]["run"] == run
    assert [row["step"] for row in read_metrics(store, run)] == list(range(1, 41))
    assert losses(store, run) == pytest.approx(whole, abs=1e-6)


def test_cancel_stops_a_run_for_good_and_frees_its_name(
    poise: Poise, write: Write, store: Store, environment: dict[str, str]
) -> None:
    file = write(max_steps=5000, save_steps=5000)
    process = subprocess.Popen(
        [sys.executable, "-m", "poise.cli", "run", str(file)], env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not any(Path(environment["POISE_HOME"]).glob("logs/*.log")):
        time.sleep(0.05)
        assert process.poll() is None
    time.sleep(2)
    second = poise("run", file)
    assert second.returncode == 64
    assert "is being worked on" in second.stderr
    assert poise("cancel", "tune").returncode == 0
    assert process.wait(90) == 130
    assert json.loads(poise("status", "tune", "--json").stdout)["phase"] == "Cancelled"
    assert not list((Path(environment["POISE_HOME"]) / "store" / "artifacts").glob("*"))


def rows(path: Path, *lines: object) -> str:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return str(path)


GOOD = {"messages": [{"role": "user", "content": "1 + 1 ="}, {"role": "assistant", "content": "2"}]}


@pytest.mark.parametrize(
    ("spec", "code", "words"),
    [
        ({"data": {"train": "rows.jsnl"}}, 65, "did you mean"),
        ({"data": {"train": "empty.jsonl"}}, 65, "empty.jsonl has no rows"),
        ({"data": {"train": "bare.jsonl"}}, 65, "bare.jsonl:2: expected messages"),
        ({"data": {"train": "builtin:sums?split=trian"}}, 65, "did you mean split=train"),
        ({"base": "model:sums@4"}, 64, "spec.base: there is no version sums@4"),
        ({"base": "builtin:small"}, 64, "there is no builtin:small"),
        ({"base": "./nowhere"}, 65, "nowhere: no such file or folder"),
        ({"resources": {"gpus": 64}}, 64, "--set spec.resources.gpus="),
        ({"adapter": None}, 64, "spec.adapter: is missing"),
    ],
)
def test_what_a_file_names_is_looked_at_before_anything_starts(
    poise: Poise, write: Write, tmp_path: Path, store: Store, spec: dict[str, Any], code: int, words: str
) -> None:
    rows(tmp_path / "rows.jsonl", GOOD)
    rows(tmp_path / "empty.jsonl")
    rows(tmp_path / "bare.jsonl", GOOD, {"text": "hello"})
    done = poise("run", write(spec=spec))
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert record.all_runs(store) == []


def test_a_row_that_only_the_template_finds_wrong_ends_the_worker_with_65(
    poise: Poise, write: Write, tmp_path: Path, store: Store
) -> None:
    import shutil

    from poise import builtin

    model = tmp_path / "model"
    shutil.copytree(builtin.path("tiny"), model)
    template = model / "chat_template.jinja"
    template.write_text("{% if messages[0].role != 'user' %}{{ raise_exception('users speak first') }}{% endif %}"
                        + template.read_text())  # fmt: skip
    system = {"messages": [{"role": "system", "content": "be brief"}, *GOOD["messages"]]}
    data = rows(tmp_path / "rows.jsonl", GOOD, system)
    done = poise("run", write(spec={"base": str(model), "data": {"train": data}}))
    assert done.returncode == 65
    assert "rows.jsonl:2" in done.stderr
    assert "users speak first" in done.stderr
    assert json.loads(poise("status", "tune", "--json").stdout)["reason"] == "DataError"


def test_a_misspelt_layer_is_the_files_mistake_and_the_nearest_is_named(poise: Poise, write: Write) -> None:
    done = poise("run", write(spec={"adapter": {"targets": ["q_prj"]}}))
    assert done.returncode == 64
    assert "no layer of the base is called 'q_prj'" in done.stderr
    assert "did you mean q_proj?" in done.stderr


def test_validate_looks_for_the_local_data_that_a_file_names(poise: Poise, write: Write, tmp_path: Path) -> None:
    rows(tmp_path / "rows.jsonl", {"text": "hello"})
    for spec, code, words in (
        ({"data": {"train": "rows.jsnl"}}, 65, "did you mean"),
        ({"data": {"train": "rows.jsonl"}}, 65, "rows.jsonl:1: expected messages"),
        ({"base": "builtin:tinny"}, 64, "spec.base: there is no builtin:tinny"),
    ):
        done = poise("validate", write(spec=spec))
        assert (done.returncode, words in done.stderr) == (code, True), done.stderr


def test_a_pipeline_whose_first_step_fails_says_what_was_not_started(poise: Poise, tmp_path: Path) -> None:
    rows(tmp_path / "bare.jsonl", {"text": "hello"})
    spec = {"method": "sft", "base": "builtin:tiny", "adapter": {}, "data": {"train": "bare.jsonl"}}
    steps = [{"name": "tune", "spec": spec}, {"name": "whole", "spec": {"method": "merge", "base": "step:tune"}}]
    document = {
        "apiVersion": "poise.dev/v1alpha1",
        "kind": "Pipeline",
        "metadata": {"name": "p"},
        "spec": {"steps": steps},
    }
    (tmp_path / "p.yaml").write_text(json.dumps(document))
    done = poise("run", "p.yaml", "--json")
    assert done.returncode == 65
    assert [(item["name"], item["phase"], item["reason"]) for item in json.loads(done.stdout)] == [
        ("tune", "Failed", "DataError"),
        ("whole", "Failed", "Skipped"),
    ]


def test_a_changed_input_is_found_when_the_run_goes_on(
    poise: Poise, write: Write, tmp_path: Path, store: Store, environment: dict[str, str]
) -> None:
    data = tmp_path / "rows.jsonl"
    rows(data, *[GOOD] * 64)
    file = write(spec={"data": {"train": str(data)}}, max_steps=2000, save_steps=2000)
    assert interrupted(environment, file, store, 3, signal.SIGTERM) == 75
    rows(data, *[GOOD] * 65)
    done = poise("run", file)
    assert done.returncode == 64
    assert "other settings or other data" in done.stderr


def test_a_tampered_artifact_is_refused(poise: Poise, write: Write, store: Store) -> None:
    done = poise("run", write(), "--json")
    artifact = json.loads(done.stdout)[0]["artifact"]
    store.put(f"artifacts/{artifact}/adapter_model.safetensors", b"something else")
    merge = write("whole", spec={"method": "merge", "base": "model:sums@1"})
    document = json.loads(merge.read_text())
    document["spec"] = {"method": "merge", "base": "model:sums@1", "publish": {"model": "whole"}}
    merge.write_text(json.dumps(document))
    refused = poise("run", merge)
    assert refused.returncode == 70
    assert "adapter_model.safetensors was changed in the store" in refused.stderr
    assert "whole" not in poise("models").stdout


def test_killing_the_runner_stops_its_worker_and_the_same_file_goes_on(
    poise: Poise, write: Write, store: Store, environment: dict[str, str]
) -> None:
    file = write(max_steps=30, save_steps=5)
    assert interrupted(environment, file, store, 6, signal.SIGKILL) == -signal.SIGKILL
    run = record.find_run(store, "tune")
    deadline = time.monotonic() + 60
    while record.read_status(store, run).phase == "Running" and time.monotonic() < deadline:
        time.sleep(0.2)
    resumed = poise("run", file, "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout)[0]["run"] == run
    assert [row["step"] for row in read_metrics(store, run)] == list(range(1, 31))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_is_said_and_leaves_nothing_half_visible(
    write: Write, tmp_path: Path, environment: dict[str, str], poise: Poise
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("mount is not allowed here")
    try:
        done = poise("run", write(), POISE_STORE=str(disk / "store"))
        assert done.returncode in {64, 75}, done.stderr
        assert "full" in done.stderr
        assert not list(disk.glob("store/artifacts/*/manifest.json"))
        assert not list(disk.glob("store/models/*/*"))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
