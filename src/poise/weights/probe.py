"""Probes taken with transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from poise.artifacts import probe
from poise.artifacts.probe import Probe, Scored


def write_probe(model: Any, tokenizer: Any, output: Path) -> Probe:
    """Take a probe and write it as `probe.json` into the folder `output`."""
    taken = take_probe(model, tokenizer)
    taken.write(output / probe.FILE)
    return taken


def take_probe(model: Any, tokenizer: Any) -> Probe:
    """Score the fixed texts with a causal language model as it is: of a PEFT model, with its adapter active.

    The forward pass runs in the model's own dtype, the softmax over the vocabulary in fp32. Training mode is left
    as it was found.
    """
    was_training = model.training
    model.eval()
    try:
        prompts = tuple(_score(model, tokenizer(text)["input_ids"]) for text in probe.TEXTS)
    finally:
        model.train(was_training)
    dtype = model.get_input_embeddings().weight.dtype
    return Probe("transformers", str(dtype).removeprefix("torch."), prompts)


@torch.no_grad()
def _score(model: Any, tokens: list[int]) -> Scored:
    ids = torch.tensor([tokens], device=model.device)
    # One text at a time: padding would move half-precision results.
    logits = model(input_ids=ids, use_cache=False).logits[0, :-1]
    logprobs = logits.float().log_softmax(-1).gather(-1, ids[0, 1:, None]).squeeze(-1)
    return Scored(tuple(tokens), tuple(logprobs.tolist()))
