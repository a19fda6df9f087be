from __future__ import annotations

from pathlib import Path

import pytest

from poise.errors import SpecError
from poise.serving.settings import ResolverSettings, child_environment, engine_environment

SETTINGS = ResolverSettings("s3://bucket/root", Path("/cache"), "hf:some/base@abc", 32)


def test_settings_survive_the_way_through_the_environment() -> None:
    assert ResolverSettings.from_environment(SETTINGS.to_environment()) == SETTINGS


def test_a_store_alone_configures_no_resolver() -> None:
    assert ResolverSettings.from_environment({"POISE_STORE": "/store"}) is None


@pytest.mark.parametrize("missing", sorted(SETTINGS.to_environment()))
def test_half_a_configuration_is_refused_by_name(missing: str) -> None:
    environment = SETTINGS.to_environment()
    del environment[missing]
    with pytest.raises(SpecError, match=missing):
        ResolverSettings.from_environment(environment)


@pytest.mark.parametrize("rank", ["0", "-1", "many", "1.5"])
def test_a_rank_without_meaning_is_refused(rank: str) -> None:
    with pytest.raises(SpecError, match="POISE_SERVING_MAX_RANK"):
        ResolverSettings.from_environment(SETTINGS.to_environment() | {"POISE_SERVING_MAX_RANK": rank})


def test_a_child_gets_neither_what_slows_vllm_nor_the_settings_of_another_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unwanted = ["PYTHONDONTWRITEBYTECODE", "VLLM_CPU_KVCACHE_SPACE", "POISE_SERVING_BASE"]
    for name in unwanted:
        monkeypatch.setenv(name, "")
    child = child_environment({"ADDED": "1"})
    assert child["ADDED"] == "1"
    assert not child.keys() & set(unwanted)
    assert "PATH" in child


def test_threads_are_set_on_cpus_alone() -> None:
    assert engine_environment(gpu=False, threads=3)["OMP_NUM_THREADS"] == "3"
    assert "OMP_NUM_THREADS" not in engine_environment(gpu=True, threads=3)
