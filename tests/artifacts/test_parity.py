from __future__ import annotations

import math
from pathlib import Path

import pytest

from poise.artifacts.parity import compare, limit_for
from poise.artifacts.probe import TEXTS, Probe, Scored
from poise.errors import InternalError


def probe(*logprobs: float, tokens: tuple[int, ...] = (5, 6, 7, 8)) -> Probe:
    return Probe("transformers", "float32", (Scored(tokens, logprobs),))


REFERENCE = probe(-1.0, -2.0, -3.0)


@pytest.mark.parametrize(
    ("candidate", "limit", "mean", "worst", "ok"),
    [
        (probe(-1.0, -2.0, -3.0), 0.0, 0.0, 0.0, True),
        (probe(-1.3, -2.0, -3.0), 0.1, 0.1, 0.3, True),
        (probe(-1.3, -2.0, -3.0), 0.0999, 0.1, 0.3, False),
        # Differences of opposite sign must not cancel.
        (probe(-1.5, -1.5, -3.0), 0.1, 1 / 3, 0.5, False),
        (probe(-31.0, -32.0, -33.0), 0.1, 30.0, 30.0, False),
    ],
)
def test_parity_is_the_mean_absolute_difference(
    candidate: Probe, limit: float, mean: float, worst: float, ok: bool
) -> None:
    parity = compare(REFERENCE, candidate, limit + 1e-12)
    assert parity.mean == pytest.approx(mean)
    assert parity.worst == pytest.approx(worst)
    assert parity.tokens == 3
    assert parity.ok is ok


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_finite_never_pass(bad: float) -> None:
    for reference, candidate in ((REFERENCE, probe(-1.0, bad, -3.0)), (probe(-1.0, bad, -3.0), REFERENCE)):
        parity = compare(reference, candidate, limit=math.inf)
        assert not parity.ok
        assert "not finite" in parity.describe()


@pytest.mark.parametrize(
    "other", [probe(-1.0, -2.0, -3.0, tokens=(5, 6, 7, 9)), Probe("vllm", "float32", ()), probe(-1.0, tokens=(5, 6))]
)
def test_probes_of_different_tokens_are_not_compared(other: Probe) -> None:
    with pytest.raises(InternalError, match="different token ids"):
        compare(REFERENCE, other, 1.0)


def test_probes_without_texts_prove_nothing() -> None:
    with pytest.raises(InternalError):
        compare(Probe("vllm", "float32", ()), Probe("vllm", "float32", ()), 1.0)


def test_the_description_has_the_numbers_and_the_verdict() -> None:
    refused = compare(REFERENCE, probe(-1.3, -2.0, -3.0), 0.02).describe()
    for part in ("0.1 nats a token", "0.3 at worst", "3 tokens", "limit is 0.02", "refused"):
        assert part in refused
    assert "passed" in compare(REFERENCE, REFERENCE, 0.02).describe()


@pytest.mark.parametrize(
    ("quantization", "dtype", "limit"),
    [
        (None, "float32", 1e-3),
        (None, "bfloat16", 0.02),
        (None, "float16", 0.02),
        ("gptq", "bfloat16", 0.1),
        ("awq", "float16", 0.1),
    ],
)
def test_limits(quantization: str | None, dtype: str, limit: float) -> None:
    assert limit_for(quantization, dtype) == limit


def test_a_probe_survives_its_file(tmp_path: Path) -> None:
    REFERENCE.write(tmp_path / "probe.json")
    assert Probe.read(tmp_path / "probe.json") == REFERENCE
    assert [item.name for item in tmp_path.iterdir()] == ["probe.json"]


def test_numbers_that_are_not_finite_survive_a_file_as_such(tmp_path: Path) -> None:
    probe(-1.0, -math.inf, -3.0).write(tmp_path / "probe.json")
    assert "Infinity" not in (tmp_path / "probe.json").read_text()
    assert math.isnan(Probe.read(tmp_path / "probe.json").prompts[0].logprobs[1])


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"engine": "vllm", "dtype": "float32", "prompts": [{"tokens": [1, 2, 3], "logprobs": [-1.0]}]}'],
)
def test_a_damaged_probe_is_an_error_of_ours(tmp_path: Path, content: str) -> None:
    (tmp_path / "probe.json").write_text(content)
    with pytest.raises(InternalError):
        Probe.read(tmp_path / "probe.json")


def test_the_texts_are_short_and_distinct() -> None:
    assert len(set(TEXTS)) == len(TEXTS) == 16
    assert all(10 < len(text) < 120 for text in TEXTS)
