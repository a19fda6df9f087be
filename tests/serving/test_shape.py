from __future__ import annotations

import json
from pathlib import Path

import pytest

from poise import builtin
from poise.errors import DataError
from poise.serving.shape import MIB, Engine, Shape, engine_for

SMALL = {
    "dtype": "bfloat16",
    "hidden_size": 896,
    "max_position_embeddings": 32768,
    "num_attention_heads": 14,
    "num_hidden_layers": 24,
    "num_key_value_heads": 2,
}


def test_the_builtin_base_is_served_in_its_own_precision_by_one_thread() -> None:
    engine = engine_for(Shape.read(builtin.path("tiny")), gpu=False, servers=1, cores=8)
    assert engine == Engine("float32", gpu=False, max_model_len=512, kv_cache_bytes=64 * MIB, threads=1)


def test_the_cache_on_a_cpu_holds_several_sequences_of_full_length(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(SMALL))
    (tmp_path / "model.safetensors").write_bytes(bytes(64 * MIB))
    engine = engine_for(Shape.read(tmp_path), gpu=False, servers=2, cores=8)
    a_token = 2 * 24 * 2 * 64 * 2
    assert engine == Engine("auto", gpu=False, max_model_len=4096, kv_cache_bytes=4 * 4096 * a_token, threads=4)


def test_a_configuration_that_nests_the_language_model_is_understood(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"text_config": SMALL}))
    assert Shape.read(tmp_path).context == 32768


def test_servers_share_the_memory_of_a_gpu() -> None:
    shape = Shape.read(builtin.path("tiny"))
    shares = [engine_for(shape, gpu=True, servers=3, cores=8).gpu_share for _ in range(3)]
    assert sum(share or 1 for share in shares) <= 0.9


@pytest.mark.parametrize("config", ["{}", "[]", "no json", '{"max_position_embeddings": "many"}'])
def test_a_folder_without_a_language_model_is_refused(tmp_path: Path, config: str) -> None:
    (tmp_path / "config.json").write_text(config)
    with pytest.raises(DataError, match="holds no weights of a language model"):
        Shape.read(tmp_path)


def test_an_adapter_is_no_language_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(DataError):
        Shape.read(tmp_path)
