from __future__ import annotations

import json
import math
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest

from poise import builtin
from poise.artifacts.parity import compare
from poise.artifacts.probe import FILE, REFERENCE_FILE, Probe, Scored
from poise.artifacts.task import Result
from poise.errors import InternalError
from poise.serving.probe import first_result, take_probe
from poise.serving.settings import child_environment

STAGE = Path(__file__).with_name("probe_stage.py")
REFERENCE = Probe("transformers", "float32", (Scored((1, 2, 3), (-1.0, -2.0)),))


def engine_answering(scores: list[list[float]]) -> SimpleNamespace:
    return SimpleNamespace(dtype="bfloat16", score=lambda texts: scores)


def test_the_probe_is_of_the_same_token_ids() -> None:
    taken = take_probe(engine_answering([[-1.5, -2.5]]), REFERENCE)
    assert taken == Probe("vllm", "bfloat16", (Scored((1, 2, 3), (-1.5, -2.5)),))


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_answers_that_are_no_numbers_are_refused(value: float) -> None:
    with pytest.raises(InternalError, match="not finite"):
        take_probe(engine_answering([[-1.5, value]]), REFERENCE)


def test_the_result_is_the_first_stages(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text('{"kind": "weights", "metrics": {"seconds": 3.5}, "quantization": "awq", "rank": null}')
    assert first_result(path) == Result("weights", {"seconds": 3.5}, quantization="awq")


@pytest.mark.parametrize("text", [None, "{}", "no json", '{"kind": "weights", "other": 1}'])
def test_without_a_first_stage_there_is_no_result(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "result.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(InternalError, match="not the result of a stage"):
        first_result(path)


@pytest.fixture
def workdir(tmp_path: Path) -> Path:
    """As the first stage leaves it, but for weights that are not quantized."""
    shutil.copytree(builtin.path("tiny"), tmp_path / "artifact")
    (tmp_path / "result.json").write_text('{"kind": "weights", "metrics": {"seconds": 3.5}}')
    return tmp_path


def run_stage(serve_home: Path, *arguments: Path) -> subprocess.CompletedProcess[str]:
    python = serve_home / "envs/serve/bin/python"
    command = [python, STAGE, *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=child_environment({}), check=False)


@pytest.mark.slow
def test_vllm_answers_as_transformers_does(workdir: Path, serve_home: Path) -> None:
    done = run_stage(serve_home, workdir, builtin.path("sums") / "test.jsonl")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["metrics"] == {"seconds": 3.5}
    reference, probe = (Probe.read(workdir / "artifact" / name) for name in (REFERENCE_FILE, FILE))
    assert (probe.engine, probe.dtype) == ("vllm", "float32")
    parity = compare(reference, probe, limit=1e-3)
    assert parity.ok, parity.describe()
    evaluation = json.loads((workdir / "artifact" / "evaluation.json").read_text())
    assert evaluation["before"] is None
    assert 0 < evaluation["after"]["accuracy"] <= 1
    assert evaluation["after"]["logprob"] < 0


@pytest.mark.slow
def test_weights_that_vllm_refuses_are_an_error_of_ours(workdir: Path, serve_home: Path) -> None:
    REFERENCE.write(workdir / "artifact" / REFERENCE_FILE)
    path = workdir / "artifact" / "config.json"
    config = json.loads(path.read_text())
    unloadable = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False, "sym": False}
    path.write_text(json.dumps(config | {"quantization_config": unloadable}))
    done = run_stage(serve_home, workdir)
    assert done.returncode == 1
    assert "InternalError: vLLM cannot load these weights" in done.stderr
    assert not (workdir / "artifact" / FILE).exists()
