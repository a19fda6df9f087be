from __future__ import annotations

from pathlib import Path

import pytest

from poise.errors import UserError
from poise.serving.settings import ResolverSettings
from poise.serving.shape import Engine
from poise.serving.vllm import Command, max_lora_rank, server_command

CPU = Engine("float32", gpu=False, max_model_len=512, kv_cache_bytes=1024, threads=2)
GPU = Engine("auto", gpu=True, gpu_share=0.45)
ADAPTERS = ResolverSettings("file:///store", Path("/cache"), "builtin:tiny@sha256-ab", 32)


def command(engine: Engine = CPU, adapters: ResolverSettings | None = None) -> Command:
    return server_command(Path("/env/bin/python"), Path("/weights"), "tiny", 8001, engine, adapters, max_loras=6)


def option(built: Command, name: str) -> str:
    return built.argv[built.argv.index(name) + 1]


@pytest.mark.parametrize("engine", [CPU, GPU])
def test_a_server_listens_on_loopback_alone_and_drains_when_stopped(engine: Engine) -> None:
    built = command(engine)
    assert option(built, "--host") == "127.0.0.1"
    assert option(built, "--port") == "8001"
    assert option(built, "--served-model-name") == "tiny"
    assert int(option(built, "--shutdown-timeout")) > 0


def test_nothing_is_asked_of_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = command().env
    assert environment["HF_HUB_OFFLINE"] == environment["VLLM_NO_USAGE_STATS"] == "1"
    assert environment["VLLM_PLUGINS"] == "poise"


def test_a_cpu_server_takes_what_the_engine_says() -> None:
    built = command(CPU)
    assert option(built, "--dtype") == "float32"
    assert option(built, "--max-model-len") == "512"
    assert option(built, "--kv-cache-memory-bytes") == "1024"
    assert "--enforce-eager" in built.argv
    assert built.env["OMP_NUM_THREADS"] == "2"


def test_a_gpu_server_compiles_and_takes_its_share() -> None:
    built = command(GPU)
    assert option(built, "--gpu-memory-utilization") == "0.45"
    assert not {"--enforce-eager", "--max-model-len", "--kv-cache-memory-bytes"} & set(built.argv)


def test_a_server_with_adapters_is_told_where_they_are() -> None:
    built = command(adapters=ADAPTERS)
    assert option(built, "--max-lora-rank") == "32"
    assert option(built, "--max-loras") == "6"
    assert built.env["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] == "1"
    assert ResolverSettings.from_environment(built.env) == ADAPTERS


def test_a_server_without_adapters_loads_none() -> None:
    built = command()
    assert "--enable-lora" not in built.argv
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" not in built.env
    assert ResolverSettings.from_environment(built.env) is None


@pytest.mark.parametrize(("ranks", "limit"), [([], 16), ([8], 16), ([17, 4], 32), ([300], 320), ([512], 512)])
def test_the_rank_limit_is_the_next_that_vllm_takes(ranks: list[int], limit: int) -> None:
    assert max_lora_rank(ranks) == limit


def test_a_rank_that_vllm_cannot_serve_is_refused() -> None:
    with pytest.raises(UserError, match="rank 513"):
        max_lora_rank([513])
