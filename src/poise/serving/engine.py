"""vLLM inside this process, for measuring weights in the engine that will serve them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from poise.errors import InternalError
from poise.serving.settings import prepare_engine
from poise.serving.shape import Engine


class OfflineEngine:
    """The weights of one folder. `dtype` is that of the forward pass, `float32` for instance.

    Raises `InternalError` where vLLM refuses the weights.
    """

    def __init__(self, weights: Path, engine: Engine) -> None:
        prepare_engine(gpu=engine.gpu, threads=engine.threads)
        try:
            self._llm = _load(weights, engine)
        except Exception as error:  # vLLM raises anything for weights that it does not like
            raise InternalError(
                f"vLLM cannot load these weights: {type(error).__name__}: {error}",
                advice="the traceback above says where; another format or group_size may load",
            ) from error
        self.dtype = str(self._llm.llm_engine.model_config.dtype).removeprefix("torch.")

    def score(self, texts: Sequence[Sequence[int]]) -> list[list[float]]:
        """For each text of token ids, the log-probability in nats of every token but the first, given those before."""
        from vllm import SamplingParams

        # 0: of each position only the text's own token, whatever its rank.
        params = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0)
        outputs = self._llm.generate([_prompt(text) for text in texts], params, use_tqdm=False)
        return [
            [position[token].logprob for token, position in zip(text[1:], output.prompt_logprobs[1:], strict=True)]
            for text, output in zip(texts, outputs, strict=True)
        ]

    def answer(self, prompts: Sequence[Sequence[int]], room: int) -> list[str]:
        """The greedy completion, of at most `room` tokens, of each prompt of token ids."""
        from vllm import SamplingParams

        params = SamplingParams(max_tokens=room, temperature=0.0)
        outputs = self._llm.generate([_prompt(prompt) for prompt in prompts], params, use_tqdm=False)
        return [str(output.outputs[0].text) for output in outputs]


def _load(weights: Path, engine: Engine) -> Any:
    from vllm import LLM

    options: dict[str, Any] = {"dtype": engine.dtype, "enforce_eager": True, "enable_prefix_caching": False}
    if engine.max_model_len is not None:
        options["max_model_len"] = engine.max_model_len
    if engine.kv_cache_bytes is not None:
        options["kv_cache_memory_bytes"] = engine.kv_cache_bytes
    if engine.gpu_share is not None:
        options["gpu_memory_utilization"] = engine.gpu_share
    return LLM(model=str(weights), distributed_executor_backend="uni", disable_log_stats=True, seed=0, **options)


def _prompt(tokens: Sequence[int]) -> dict[str, list[int]]:
    return {"prompt_token_ids": list(tokens)}
