"""Train a small adapter and spoil it in every way that vLLM does not notice: `python make_adapters.py BASE OUT`.

The last line printed says of each folder what `check_adapter` says of it: a rank or an error.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from poise.errors import DataError
from poise.weights.check import check_adapter
from poise.weights.probe import take_probe, write_probe

Tensors = dict[str, torch.Tensor]
LAYER = "base_model.model.model.layers.1.self_attn.q_proj.lora_{}.weight"


def train(base: Path, out: Path, steps: int) -> PeftModel:
    """An adapter that has learnt to repeat one sentence, with its probe; with no steps, one that changes nothing."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(base)
    config = LoraConfig(r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    ids = tokenizer("Seven ships sailed south.", return_tensors="pt")["input_ids"]
    for _ in range(steps):
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(out)
    write_probe(model, tokenizer, out)
    return model


def spoil(good: Path, bad: Path, tensors: Callable[[Tensors], Any] = len, **settings: Any) -> None:
    shutil.copytree(good, bad)
    content = load_file(bad / "adapter_model.safetensors")
    tensors(content)
    save_file(content, bad / "adapter_model.safetensors")
    config = json.loads((bad / "adapter_config.json").read_text())
    (bad / "adapter_config.json").write_text(json.dumps(config | settings))


def rename(tensors: Tensors) -> None:
    for side in "AB":
        tensors[LAYER.format(side).replace("layers.1.", "layers.9.")] = tensors.pop(LAYER.format(side))


def fill(value: float) -> Callable[[Tensors], Any]:
    return lambda tensors: tensors[LAYER.format("A")][3].fill_(value)


def multiply(factor: float) -> Callable[[Tensors], Any]:
    return lambda tensors: [tensor.mul_(factor) for tensor in tensors.values()]


def narrow(tensors: Tensors) -> None:
    tensors[LAYER.format("A")] = tensors[LAYER.format("A")][:, :96].contiguous()


def other_bases(base: Path, out: Path) -> None:
    """A base of the same shape with other weights, and one of another shape."""
    model = AutoModelForCausalLM.from_pretrained(base)
    shutil.copytree(base, out / "same_shape")
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    model.save_pretrained(out / "same_shape")
    shutil.copytree(base, out / "other_shape")
    model.config.intermediate_size = 256
    type(model)(model.config).save_pretrained(out / "other_shape")


def verdict(adapter: Path, base: Path) -> int | str:
    try:
        return check_adapter(adapter, base)
    except DataError as error:
        return str(error)


def probes_keep_mode_and_adapter(model: PeftModel, base: Path) -> bool:
    tokenizer = AutoTokenizer.from_pretrained(base)
    model.train()
    active = take_probe(model, tokenizer)
    with model.disable_adapter():
        bare = take_probe(model, tokenizer)
    alone = take_probe(AutoModelForCausalLM.from_pretrained(base), tokenizer)
    return model.training and active != bare and bare == alone


def main(base: Path, out: Path) -> None:
    model = train(base, out / "good", steps=25)
    train(base, out / "untrained", steps=0)
    other_bases(base, out)
    spoil(out / "good", out / "rank", r=16)
    spoil(out / "good", out / "unknown_layer", rename)
    spoil(out / "good", out / "nan", fill(float("nan")))
    spoil(out / "good", out / "infinite", fill(float("inf")))
    spoil(out / "good", out / "huge", multiply(1e15))
    spoil(out / "good", out / "shape", narrow)
    spoil(out / "good", out / "half", lambda tensors: tensors.pop(LAYER.format("B")))
    spoil(out / "good", out / "dora", use_dora=True)
    spoil(out / "good", out / "empty", lambda tensors: tensors.clear())
    folders = [item for item in out.iterdir() if (item / "adapter_config.json").exists()]
    verdicts = {folder.name: verdict(folder, base) for folder in folders}
    verdicts["other_base"] = verdict(out / "good", out / "other_shape")
    print(json.dumps({"verdicts": verdicts, "probes": probes_keep_mode_and_adapter(model, base)}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
