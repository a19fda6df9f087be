from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from poise import builtin

GPTQ = {"quant_method": "gptq", "checkpoint_format": "gptq", "sym": True, "desc_act": False}
AWQ = {"quant_method": "awq", "checkpoint_format": "gemm", "zero_point": True}
FORMATS = [pytest.param("gptq"), pytest.param("awq", marks=pytest.mark.slow)]


def case(workdir: Path, base: Path, **options: Any) -> dict[str, Any]:
    calibration = {"calibration": "builtin:sums?split=train"}
    return {
        "entry": "poise.weights.quantize:run",
        "spec": {"method": "quantize", "base": "builtin:tiny", "options": options, "data": calibration},
        "inputs": {"base": str(base), "data.calibration": str(builtin.path("sums"))},
        "workdir": str(workdir),
    }


@pytest.fixture(scope="session")
def quantized(run_tasks: Any, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Quantize the builtin model in a format, once; returns the working folder and the result."""
    done: dict[str, tuple[Path, Any]] = {}

    def quantize(form: str) -> tuple[Path, Any]:
        if form not in done:
            workdir = tmp_path_factory.mktemp(form)
            done[form] = (workdir, run_tasks("quantize", [case(workdir, tiny, format=form)])[0])
        return done[form]

    return quantize


@pytest.mark.parametrize("form", FORMATS)
def test_the_weights_are_smaller_and_the_result_says_so(quantized: Any, tiny: Path, form: str) -> None:
    workdir, result = quantized(form)
    size = (workdir / "artifact" / "model.safetensors").stat().st_size
    assert (result["kind"], result["quantization"]) == ("weights", form)
    assert result["metrics"]["layers_quantized"] == 3 * 7
    assert result["metrics"]["size_bytes"] == size
    assert size < 0.25 * (tiny / "model.safetensors").stat().st_size


@pytest.mark.parametrize("form", FORMATS)
def test_dequantized_weights_answer_nearly_as_the_base_did(
    quantized: Any, run_script: Any, tiny: Path, form: str
) -> None:
    workdir, _ = quantized(form)
    found = run_script("quantize", "dequantize.py", tiny, workdir / "artifact")
    assert found["odd"] == []
    assert len(found["errors"]) == 3 * 7
    assert 1e-4 < found["distance"] < 0.2
    # AWQ moves scales from one layer into the next, so that only GPTQ's weights can be held against the base's.
    if form == "gptq":
        assert all(0.01 < error < 0.3 for error in found["errors"].values())


@pytest.mark.parametrize(("form", "expected"), [("gptq", GPTQ), pytest.param("awq", AWQ, marks=pytest.mark.slow)])
def test_the_configuration_is_the_bases_and_what_vllm_reads(
    quantized: Any, tiny: Path, form: str, expected: dict[str, Any]
) -> None:
    artifact = quantized(form)[0] / "artifact"
    config, base = (json.loads((folder / "config.json").read_text()) for folder in (artifact, tiny))
    assert expected.items() <= config["quantization_config"].items()
    assert (config["quantization_config"]["bits"], config["quantization_config"]["group_size"]) == (4, 128)
    del config["quantization_config"]
    assert config == base | {"dtype": "bfloat16"}


@pytest.mark.parametrize("form", FORMATS)
def test_the_files_are_the_bases_and_name_no_local_path(quantized: Any, tiny: Path, form: str) -> None:
    workdir, _ = quantized(form)
    artifact = workdir / "artifact"
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json"):
        assert (artifact / name).read_bytes() == (tiny / name).read_bytes()
    for file in artifact.iterdir():
        assert file.stat().st_mode & 0o777 == 0o644
        assert str(workdir).encode() not in file.read_bytes()


def test_the_libraries_chatter_is_kept_in_a_log(quantized: Any) -> None:
    workdir, _ = quantized("gptq")
    assert "Quantiz" in (workdir / "gptqmodel.log").read_text()


def test_what_cannot_be_quantized_is_refused_before_any_work(run_tasks: Any, tmp_path: Path, odd_base: Path) -> None:
    already = tmp_path / "already"
    already.mkdir()
    (already / "config.json").write_text(json.dumps({"quantization_config": {"quant_method": "gptq"}}))
    cases = [case(tmp_path / "a", odd_base, format="gptq", group_size=64), case(tmp_path / "b", already, format="awq")]
    narrow, quantized = run_tasks("quantize", cases)
    assert narrow["error"] == quantized["error"] == "DataError"
    assert "group_size is 64, but model.layers.0.mlp.up_proj has 96 inputs" in narrow["message"]
    assert "set options.group_size to 32" in narrow["message"]
    assert "already quantized (gptq)" in quantized["message"]


@pytest.fixture
def odd_base(tmp_path: Path) -> Path:
    """Headers of a model with 96 inputs, in safetensors' own format: a length, JSON, and the tensors' bytes."""
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    size = 64 * 96 * 4
    header = json.dumps(
        {"model.layers.0.mlp.up_proj.weight": {"dtype": "F32", "shape": [64, 96], "data_offsets": [0, size]}}
    )
    content = len(header).to_bytes(8, "little") + header.encode() + bytes(size)
    (folder / "model.safetensors").write_bytes(content)
    return folder
