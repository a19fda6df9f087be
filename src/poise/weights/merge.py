"""The method `merge`: fold a LoRA adapter into its base."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging

from poise.artifacts import probe
from poise.artifacts.parity import compare
from poise.artifacts.probe import Probe
from poise.artifacts.task import Result, Task
from poise.data.evaluation import write_evaluation
from poise.errors import DataError, InternalError
from poise.evaluate.held_out import HeldOut
from poise.weights import files
from poise.weights.check import check_adapter
from poise.weights.probe import take_probe, write_probe

DTYPES = {"auto": "auto", "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# An adapter on another base of the same shape is nats away from its own probe; rounding and nf4 stay far below.
OTHER_BASE = 0.5


def run(task: Task) -> Result:
    """Write the merged weights with their probe, and as `reference.json` the probe of base and adapter unmerged.

    The probe is taken from the written files, loaded again.

    Raises:
        DataError: the base is quantized, or the adapter does not fit it or changes nothing.
    """
    started = time.monotonic()
    logging.disable_progress_bar()
    base, adapter, output = task.inputs["base"], task.inputs["adapter"], task.output
    files.config(base)
    held_out = HeldOut.read(task)
    check_adapter(adapter, base)
    output.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(base)
    task.progress("merging", 0, 3)
    before, reference, dtype = _merge(base, adapter, output, DTYPES[task.spec.dtype])
    reference.write(output / probe.REFERENCE_FILE)
    task.progress("merging", 1, 3)
    changed = _compare_tensors(base, output)
    files.write_companions(base, output, dtype)
    task.progress("merging", 2, 3)
    merged = _load(output, "auto")
    after = write_probe(merged, tokenizer, output)
    measured = held_out and held_out.measure(merged)
    if held_out and measured:
        write_evaluation(output, held_out.asked, None, measured)
    task.progress("merging", 3, 3)
    metrics = {
        "base_shift": compare(before, after, limit=0.0).mean,
        "tensors_changed": float(changed),
        "size_bytes": float(files.size(output)),
        "seconds": time.monotonic() - started,
    }
    return Result("weights", metrics)


def _load(folder: Path, dtype: Any) -> Any:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, use_safetensors=True).to(device)


def _merge(base: Path, adapter: Path, output: Path, dtype: Any) -> tuple[Probe, Probe, str]:
    """Write merged weights; returns the probes of the base alone and with its adapter, and the dtype.

    The model is let go on return, so that it is gone before the result is loaded again.
    """
    tokenizer = AutoTokenizer.from_pretrained(base)
    model = PeftModel.from_pretrained(_load(base, dtype), adapter)
    with model.disable_adapter():
        before = take_probe(model, tokenizer)
    reference = take_probe(model, tokenizer)
    _check_base(adapter, reference)
    try:
        merged = model.merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise DataError(f"the adapter cannot be merged: {error}", advice="train it again") from error
    merged.save_pretrained(output)
    return before, reference, str(merged.dtype).removeprefix("torch.")


def _check_base(adapter: Path, reference: Probe) -> None:
    if not (adapter / probe.FILE).is_file():
        return
    parity = compare(Probe.read(adapter / probe.FILE), reference, limit=OTHER_BASE)
    if not parity.ok:
        raise DataError(
            f"the adapter does not answer on this base as it did when it was trained: {parity.describe()}",
            advice="merge it into the base it was trained on",
        )


def _compare_tensors(base: Path, output: Path) -> int:
    """Check the written tensors against the base's; returns how many have changed."""
    old, new = files.headers(base), files.headers(output)
    tied = {"lm_head.weight"} if files.config(base).get("tie_word_embeddings") else set()
    if odd := sorted((old.keys() ^ new.keys()) - tied):
        raise InternalError(f"the merged weights and the base do not hold the same tensors: {', '.join(odd[:5])}")
    changed = 0
    for name, tensor in files.tensors(output):
        if name in old and old[name].shape != tuple(tensor.shape):
            raise InternalError(f"{name} had shape {old[name].shape} and has {tuple(tensor.shape)} after merging")
        if not bool(tensor.isfinite().all()):
            raise DataError(f"{name} is not finite after merging", advice="merge with dtype: bf16 or fp32")
        if name in old:
            changed += not torch.equal(files.tensor(old[name], name).to(tensor.dtype), tensor)
    if not changed:
        raise DataError("the adapter changes no tensor of its base", advice="train it first, or for longer")
    return changed
