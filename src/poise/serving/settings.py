"""What passes between Poise and a vLLM process by the environment; nothing else in `serving` reads or sets it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from poise.errors import SpecError

_STORE = "POISE_STORE"
_CACHE = "POISE_SERVING_CACHE"
_BASE = "POISE_SERVING_BASE"
_MAX_RANK = "POISE_SERVING_MAX_RANK"


@dataclass(frozen=True)
class ResolverSettings:
    """What a vLLM server needs to find adapters by itself.

    Attributes:
        store: URL of the store.
        cache: folder for downloaded adapters; nothing in it may be deleted while the server lives.
        base: the pinned base this server was started with; adapters on any other are refused.
        max_rank: the largest LoRA rank this server takes.
    """

    store: str
    cache: Path
    base: str
    max_rank: int

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> ResolverSettings | None:
        """None where no POISE_SERVING_* variable is set: a server without adapters, or one that is not ours.

        Raises `SpecError` where only some are set, or one has no meaning.
        """
        if not any(environment.get(name) for name in (_CACHE, _BASE, _MAX_RANK)):
            return None
        for name in (_STORE, _CACHE, _BASE, _MAX_RANK):
            if not environment.get(name):
                raise SpecError(f"{name} is not set", advice="a server that resolves adapters needs all four variables")
        rank = environment[_MAX_RANK]
        if not rank.isdecimal() or int(rank) < 1:
            raise SpecError(f"{_MAX_RANK} is {rank!r}", advice="set it to the server's --max-lora-rank")
        return cls(environment[_STORE], Path(environment[_CACHE]), environment[_BASE], int(rank))

    def to_environment(self) -> dict[str, str]:
        return {_STORE: self.store, _CACHE: str(self.cache), _BASE: self.base, _MAX_RANK: str(self.max_rank)}


def engine_environment(*, gpu: bool, threads: int) -> dict[str, str]:
    """What every vLLM process of ours is started with.

    Args:
        threads: of OpenMP, on a CPU. For tiny models one is best: two that contend were 15 times slower.
    """
    settings = {
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_PLUGINS": "poise",
        "TOKENIZERS_PARALLELISM": "false",
    }
    if not gpu:
        settings |= {
            "OMP_NUM_THREADS": str(threads),
            "VLLM_CPU_OMP_THREADS_BIND": "nobind",
            # 8-bit activations would be on by default where the CPU has AMX, and answers depend on the machine.
            "VLLM_CPU_INT4_W4A8": "0",
        }
    return settings


def child_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with `changes`, for a child.

    Without PYTHONDONTWRITEBYTECODE, under which vLLM compiles itself anew at each start, for minutes. An empty
    VLLM_CPU_KVCACHE_SPACE would end the server.
    """
    unwanted = {"PYTHONDONTWRITEBYTECODE", "VLLM_CPU_KVCACHE_SPACE", _CACHE, _BASE, _MAX_RANK}
    return {name: value for name, value in os.environ.items() if name not in unwanted} | dict(changes)


def prepare_engine(*, gpu: bool, threads: int) -> None:
    """Set this very process up for an engine inside it; to be called before vLLM is imported."""
    os.environ.update(engine_environment(gpu=gpu, threads=threads), VLLM_ENABLE_V1_MULTIPROCESSING="0")
