"""What a folder of weights says of itself, and how large a server for it should be."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from poise.errors import DataError

MIB = 1024**2
_CPU_CONTEXT = 4096  # tokens; a CPU is too slow for longer ones
_CPU_SEQUENCES = 4  # of full length, that must fit into the KV cache at once
_TINY = 64 * MIB  # of weights; below, more threads than one are slower


@dataclass(frozen=True)
class Shape:
    """Attributes:
    dtype: number format in the configuration, `float32` for instance; "auto" where it names none.
    context: the longest sequence, in tokens.
    kv_bytes: of KV cache for one token.
    size: of the weight files, in bytes.
    """

    dtype: str
    context: int
    kv_bytes: int
    size: int

    @classmethod
    def read(cls, folder: Path) -> Shape:
        """Raises `DataError` for a folder that holds no causal language model."""
        try:
            config = json.loads((folder / "config.json").read_bytes())
            text = config.get("text_config", config)
            dtype = config.get("dtype") or config.get("torch_dtype") or text.get("dtype") or "auto"
            size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
            return cls(dtype, int(text["max_position_embeddings"]), _kv_bytes(text, dtype), size)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{folder} holds no weights of a language model: {error}", advice="serve merged weights or a base"
            ) from error


@dataclass(frozen=True)
class Engine:
    """What a vLLM engine is given of one machine. On a GPU, `None` leaves the choice to vLLM.

    Attributes:
        kv_cache_bytes: size of the KV cache.
        gpu_share: of the GPU's memory.
        threads: of OpenMP, on a CPU.
    """

    dtype: str
    gpu: bool
    max_model_len: int | None = None
    kv_cache_bytes: int | None = None
    gpu_share: float | None = None
    threads: int = 1


def engine_for(shape: Shape, *, gpu: bool, servers: int, cores: int) -> Engine:
    """The engine for weights of `shape`, one of `servers` that share a machine of `cores`."""
    if gpu:
        return Engine("auto", gpu, gpu_share=round(0.9 / servers, 3))
    context = min(shape.context, _CPU_CONTEXT)
    return Engine(
        # vLLM would silently serve fp32 weights in bf16.
        dtype="float32" if shape.dtype == "float32" else "auto",
        gpu=gpu,
        max_model_len=context,
        kv_cache_bytes=max(64 * MIB, _CPU_SEQUENCES * context * shape.kv_bytes),
        threads=1 if shape.size < _TINY else max(1, cores // servers),
    )


def _kv_bytes(config: dict[str, Any], dtype: str) -> int:
    heads = int(config["num_attention_heads"])
    head_dim = int(config.get("head_dim") or config["hidden_size"] // heads)
    kv_heads = int(config.get("num_key_value_heads") or heads)
    return 2 * int(config["num_hidden_layers"]) * kv_heads * head_dim * (4 if dtype == "float32" else 2)
