from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from poise import builtin
from poise.artifacts.parity import compare, limit_for
from poise.artifacts.probe import FILE, REFERENCE_FILE, Probe


def case(workdir: Path, base: Path, adapter: Path, **spec: Any) -> dict[str, Any]:
    return {
        "entry": "poise.weights.merge:run",
        "spec": {"method": "merge", "base": "run:tune", **spec},
        "inputs": {"base": str(base), "adapter": str(adapter), "data.eval": str(builtin.path("sums"))},
        "workdir": str(workdir),
    }


@pytest.fixture(scope="session")
def outcomes(
    run_tasks: Any, tiny: Path, adapters: dict[str, Any], adapter_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Any]:
    """Every merge of this file, in one process."""
    folder = tmp_path_factory.mktemp("merge")
    quantized = folder / "quantized"
    quantized.mkdir()
    config = json.loads((tiny / "config.json").read_text()) | {"quantization_config": {"quant_method": "bitsandbytes"}}
    (quantized / "config.json").write_text(json.dumps(config))
    good = adapter_folder / "good"
    cases = {
        "fp32": case(folder / "fp32", tiny, good, data={"eval": "builtin:sums?split=test"}),
        "bf16": case(folder / "bf16", tiny, good, dtype="bf16"),
        "untrained": case(folder / "untrained", tiny, adapter_folder / "untrained"),
        "same_shape": case(folder / "same_shape", adapter_folder / "same_shape", good),
        "huge": case(folder / "huge", tiny, adapter_folder / "huge"),
        "quantized": case(folder / "quantized_base", quantized, good),
    }
    made = dict(zip(cases, run_tasks("train", list(cases.values())), strict=True))
    return {"folder": folder, **made}


@pytest.mark.parametrize(("name", "dtype"), [("fp32", "float32"), ("bf16", "bfloat16")])
def test_merged_weights_answer_as_base_and_adapter_did(outcomes: dict[str, Any], name: str, dtype: str) -> None:
    artifact = outcomes["folder"] / name / "artifact"
    merged = Probe.read(artifact / FILE)
    parity = compare(Probe.read(artifact / REFERENCE_FILE), merged, limit_for(None, dtype))
    assert merged.dtype == dtype
    assert parity.ok, parity.describe()


def test_the_metrics_tell_what_has_changed(outcomes: dict[str, Any]) -> None:
    result = outcomes["fp32"]
    artifact = outcomes["folder"] / "fp32" / "artifact"
    assert (result["kind"], result["quantization"], result["rank"]) == ("weights", None, None)
    assert result["metrics"]["tensors_changed"] == 3 * 7
    assert result["metrics"]["base_shift"] > 0.01
    assert result["metrics"]["size_bytes"] == (artifact / "model.safetensors").stat().st_size


def test_bf16_halves_the_size(outcomes: dict[str, Any]) -> None:
    ratio = outcomes["bf16"]["metrics"]["size_bytes"] / outcomes["fp32"]["metrics"]["size_bytes"]
    assert ratio == pytest.approx(0.5, abs=0.01)


def test_everything_but_the_weights_is_the_bases(outcomes: dict[str, Any], tiny: Path) -> None:
    artifact = outcomes["folder"] / "bf16" / "artifact"
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (artifact / name).read_bytes() == (tiny / name).read_bytes()
    base, merged = (json.loads((folder / "config.json").read_text()) for folder in (tiny, artifact))
    assert merged == base | {"dtype": "bfloat16"}


def test_the_files_are_readable_by_all_and_name_no_local_path(outcomes: dict[str, Any], tiny: Path) -> None:
    for file in (outcomes["folder"] / "fp32" / "artifact").iterdir():
        assert file.stat().st_mode & 0o777 == 0o644
        content = file.read_bytes()
        assert str(outcomes["folder"]).encode() not in content
        assert str(tiny.parent).encode() not in content


def test_held_out_rows_are_asked_when_there_are_any(outcomes: dict[str, Any]) -> None:
    evaluation = json.loads((outcomes["folder"] / "fp32" / "artifact" / "evaluation.json").read_text())
    assert evaluation["rows"] == 88
    assert 0 <= evaluation["after"]["accuracy"] <= 1
    assert not (outcomes["folder"] / "bf16" / "artifact" / "evaluation.json").exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("untrained", "changes no tensor"),
        ("same_shape", "does not answer on this base as it did"),
        ("huge", "far beyond any weight"),
        ("quantized", "already quantized (bitsandbytes)"),
    ],
)
def test_what_must_not_be_merged_is_refused(outcomes: dict[str, Any], name: str, said: str) -> None:
    assert outcomes[name]["error"] == "DataError"
    assert said in outcomes[name]["message"]
