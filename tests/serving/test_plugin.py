"""The plugin in processes of the environment `serve`, without a server."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from poise.serving.settings import ResolverSettings, child_environment

pytestmark = pytest.mark.slow

LOAD = """
from vllm.plugins import load_general_plugins
from vllm.lora.resolver import LoRAResolverRegistry
load_general_plugins()
print(*LoRAResolverRegistry.get_supported_resolvers())
"""
LOAD_INTO_ANOTHER_VLLM = """
from vllm.v1.kv_cache_interface import KVCacheConfig
del KVCacheConfig.needs_kv_cache_zeroing
""" + LOAD  # fmt: skip


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return ResolverSettings(str(tmp_path), tmp_path / "cache", "builtin:tiny@sha256-ab", 16).to_environment()


def run(serve_home: Path, code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [serve_home / "envs/serve/bin/python", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=child_environment(environment), check=False)


def test_a_configured_process_gets_our_resolver(serve_home: Path, settings: dict[str, str]) -> None:
    done = run(serve_home, LOAD, settings)
    assert done.stdout.splitlines()[-1] == "poise", done.stderr


def test_a_plain_vllm_gets_none(serve_home: Path, tmp_path: Path) -> None:
    done = run(serve_home, LOAD, {"POISE_STORE": str(tmp_path)})
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, ""), done.stderr


def test_half_a_configuration_ends_the_process(serve_home: Path, settings: dict[str, str]) -> None:
    done = run(serve_home, LOAD, settings | {"POISE_SERVING_BASE": ""})
    assert done.returncode == 1
    assert "POISE_SERVING_BASE is not set" in done.stderr


def test_a_vllm_that_the_cures_do_not_fit_ends_the_process(serve_home: Path) -> None:
    done = run(serve_home, LOAD_INTO_ANOTHER_VLLM, {})
    assert done.returncode == 1
    assert "this vLLM has no KVCacheConfig.needs_kv_cache_zeroing" in done.stderr
