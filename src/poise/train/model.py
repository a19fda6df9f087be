"""What a trainer is given as model: a folder with LoRA settings, or an adapter to continue."""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from poise.artifacts.task import Task
from poise.errors import MachineError, SpecError
from poise.specs import TrainingSpec
from poise.weights.files import headers

_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}


@dataclass(frozen=True)
class Start:
    """Attributes:
    model: path of the base, which the trainer loads and wraps, or a `PeftModel` to continue.
    peft_config: LoRA settings for a path; None for a `PeftModel`.
    """

    model: str | PeftModel
    tokenizer: Any
    peft_config: LoraConfig | None


def precision(spec: TrainingSpec) -> str:
    """`fp32`, `bf16` or `fp16`: what was asked for, or what the hardware does well.

    bf16 needs compute capability 8.0 (Ampere); a T4 has 7.5 and gets fp16. Raises `MachineError` for what the
    machine cannot do.
    """
    asked = spec.load.precision
    if spec.resources.gpus == 0:
        if asked == "fp16":
            raise MachineError("fp16 needs a GPU", advice="use precision auto, fp32 or bf16 on a CPU")
        return "fp32" if asked == "auto" else asked
    if not torch.cuda.is_available():
        raise MachineError("torch sees no GPU", advice="`poise env sync --variant cuda`, or set spec.resources.gpus=0")
    if (seen := torch.cuda.device_count()) > 1:
        advice = "set spec.resources.gpus=1, and CUDA_VISIBLE_DEVICES=0 where the machine has more"
        raise MachineError(f"one process trains on one GPU, but sees {seen}", advice=advice)
    has_bf16 = torch.cuda.get_device_capability() >= (8, 0)
    if asked == "bf16" and not has_bf16:
        name = torch.cuda.get_device_name()
        raise MachineError(f"{name} has no bf16", advice="use precision auto: it takes fp16 on this GPU")
    if asked != "auto":
        return asked
    return "bf16" if has_bf16 else "fp16"


def model_init_kwargs(spec: TrainingSpec) -> dict[str, Any]:
    """How the base is loaded: dtype of the frozen weights, attention, safetensors only."""
    kwargs: dict[str, Any] = {"dtype": _DTYPES[precision(spec)], "use_safetensors": True}
    if spec.load.attention != "auto":
        if spec.load.attention == "flash_attention_2" and find_spec("flash_attn") is None:
            raise MachineError(
                "spec.load.attention: flash_attention_2 needs the package flash-attn, which is not in this environment",
                advice="use attention: sdpa, which PyTorch brings along",
            )
        kwargs["attn_implementation"] = spec.load.attention
    return kwargs


def start(task: Task) -> Start:
    """The model to train: a fresh adapter on the base, or the base's adapter, continued."""
    spec, base = task.spec, task.inputs["base"]
    tokenizer = AutoTokenizer.from_pretrained(base)
    if "adapter" in task.inputs:
        model = AutoModelForCausalLM.from_pretrained(base, **model_init_kwargs(spec))
        return Start(PeftModel.from_pretrained(model, task.inputs["adapter"], is_trainable=True), tokenizer, None)
    _check_targets(spec.adapter.targets, base)
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=spec.adapter.rank,
        lora_alpha=spec.adapter.alpha,
        lora_dropout=spec.adapter.dropout,
        target_modules=spec.adapter.targets,
    )
    return Start(str(base), tokenizer, config)


def _check_targets(targets: list[str] | str, base: Path) -> None:
    """Raise `SpecError` for a target that no layer of the base is called; of the base only headers are read."""
    weights = [name.removesuffix(".weight") for name, header in headers(base).items() if len(header.shape) == 2]
    layers = {name.rpartition(".")[2] for name in weights}
    for target in targets if isinstance(targets, list) else []:
        if not any(name == target or name.endswith(f".{target}") for name in weights):
            near = get_close_matches(target, layers, n=1)
            hint = f"did you mean {near[0]}?" if near else f"it has: {', '.join(sorted(layers))}"
            raise SpecError(f"spec.adapter.targets: no layer of the base is called {target!r}", advice=hint)


def save_adapter(model: PeftModel, output: Path) -> None:
    """Write the trained adapter alone: no model card, no path of this machine, readable by any user."""
    model.save_pretrained(output, selected_adapters=["default"])
    (output / "README.md").unlink(missing_ok=True)
    path = output / "adapter_config.json"
    config = json.loads(path.read_text())
    # The manifest names the base by digest; a path would mean nothing elsewhere.
    path.write_text(json.dumps({**config, "base_model_name_or_path": None}, indent=2, sort_keys=True))
    for item in output.iterdir():
        item.chmod(0o644)
