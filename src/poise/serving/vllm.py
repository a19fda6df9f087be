"""Command lines of vLLM servers: pure functions, nothing is started here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from poise.errors import UserError
from poise.serving.settings import ResolverSettings, engine_environment
from poise.serving.shape import Engine

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # what --max-lora-rank takes
_SHUTDOWN_SECONDS = 20
# Engine and worker in one process: a second of start-up, 0.4 GB and one import of torch less than vLLM's default on
# CPUs, which exists to set OMP variables for the worker. Ours are set from the start.
_ONE_PROCESS = "vllm.v1.executor.uniproc_executor.UniProcExecutor"


@dataclass(frozen=True)
class Command:
    """What to execute; `env` is added to the environment."""

    argv: tuple[str, ...]
    env: dict[str, str]


def max_lora_rank(ranks: Sequence[int]) -> int:
    """The smallest limit that vLLM takes and that leaves room for all `ranks`; at least 16."""
    needed = max((16, *ranks))
    for rank in RANKS:
        if rank >= needed:
            return rank
    raise UserError(
        f"rank {needed} is more than vLLM serves ({RANKS[-1]})", advice="merge the adapter and serve the result"
    )


def server_command(
    python: Path,
    model: Path,
    served_name: str,
    port: int,
    engine: Engine,
    adapters: ResolverSettings | None = None,
    max_loras: int = 4,
) -> Command:
    """A server on 127.0.0.1 alone: several of vLLM's paths take no key, so only a gateway may reach it.

    Args:
        python: the interpreter of the environment `serve`.
        served_name: what requests call the weights in `model`.
        adapters: resolve adapters as these settings say; None for a server without.
        max_loras: adapters that can be in use at the same moment; requests for more of them wait.
    """
    options = [
        *("--model", str(model)),
        *("--served-model-name", served_name),
        *("--host", "127.0.0.1"),
        *("--port", str(port)),
        *("--dtype", engine.dtype),
        # With vLLM's default, 0, streams in flight hang without an error after SIGTERM.
        *("--shutdown-timeout", str(_SHUTDOWN_SECONDS)),
        "--enable-server-load-tracking",
        "--enable-request-id-headers",
        "--disable-uvicorn-access-log",
        *_engine_options(engine),
    ]
    environment = engine_environment(gpu=engine.gpu, threads=engine.threads)
    if adapters is not None:
        options += ["--enable-lora", "--max-lora-rank", str(adapters.max_rank), "--max-loras", str(max_loras)]
        environment |= adapters.to_environment()
        environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"  # without it no resolver is asked
    return Command((str(python), "-m", "poise.serving.server", *options), environment)


def _engine_options(engine: Engine) -> list[str]:
    options = []
    if not engine.gpu:
        options += ["--enforce-eager", "--distributed-executor-backend", _ONE_PROCESS]
    if engine.max_model_len is not None:
        options += ["--max-model-len", str(engine.max_model_len)]
    if engine.kv_cache_bytes is not None:
        options += ["--kv-cache-memory-bytes", str(engine.kv_cache_bytes)]
    if engine.gpu_share is not None:
        options += ["--gpu-memory-utilization", str(engine.gpu_share)]
    return options
