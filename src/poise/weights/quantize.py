"""The method `quantize`: 4-bit GPTQ (arXiv 2210.17323) or AWQ (arXiv 2306.00978) weights, in the forms vLLM loads."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from poise.artifacts import probe
from poise.artifacts.task import Result, Task
from poise.errors import DataError, InternalError
from poise.weights import files
from poise.weights.calibration import calibration_blocks
from poise.weights.quiet import DividedOutput, output_kept_in
from poise.weights.settings import prepare_gptqmodel

LOG = "gptqmodel.log"
GROUP_SIZES = (32, 64, 128)
BATCH = 8
# What engines read of a quantization's configuration; the rest is GPTQModel's own record, local paths included.
CONFIG_KEYS = ("bits", "group_size", "desc_act", "sym", "lm_head", "quant_method", "checkpoint_format", "zero_point")
_IN_A_BLOCK = re.compile(r"(?P<layer>.+?\.(?P<block>\d+)\..+)\.weight")
# Routers of mixtures of experts stay as they are.
_ROUTERS = (".gate", ".router")


def run(task: Task) -> Result:
    """Write the quantized weights, and as `reference.json` the probe of the base before quantization.

    The result's own probe is taken by the next stage, in the engine that serves it.

    Raises:
        DataError: the base cannot be quantized in groups of this size, or the calibration rows cannot be used.
    """
    started = time.monotonic()
    base, output, options = task.inputs["base"], task.output, task.spec.options
    output.mkdir(parents=True, exist_ok=True)
    prepare_gptqmodel(task.workdir)
    with output_kept_in(task.workdir / LOG) as printed:
        layers = _linear_layers(base, options.group_size)
        blocks = calibration_blocks(task)
        _write_reference(base, output)
        dtype, quantization = _quantize(task, blocks, _progress(task, layers, printed))
    files.write_companions(base, output, dtype, quantization)
    _check(base, output, layers)
    metrics = {
        "calibration_tokens": float(sum(map(len, blocks))),
        "layers_quantized": float(len(layers)),
        "size_bytes": float(files.size(output)),
        "size_ratio": files.size(output) / files.size(base),
        "seconds": time.monotonic() - started,
    }
    return Result("weights", metrics, quantization=options.format)


def _linear_layers(base: Path, group_size: int) -> dict[str, int]:
    """The linear layers inside the model's blocks, with the number of their block.

    Raises:
        DataError: `group_size` does not divide the inputs of one of them, or vLLM has no kernel for its outputs.
    """
    files.config(base)
    matches = {_IN_A_BLOCK.fullmatch(name): header.shape for name, header in files.headers(base).items()}
    shapes = {
        match: shape
        for match, shape in matches.items()
        if match and len(shape) == 2 and not match["layer"].endswith(_ROUTERS)
    }
    if not shapes:
        raise DataError("the base has no blocks of linear layers", advice="quantize a causal language model")
    for match, (outputs, inputs) in shapes.items():
        layer = match["layer"]
        if inputs % group_size:
            fit = [str(size) for size in GROUP_SIZES if all(shape[1] % size == 0 for shape in shapes.values())]
            advice = f"set options.group_size to {' or '.join(fit)}" if fit else "serve this model unquantized"
            raise DataError(f"options.group_size is {group_size}, but {layer} has {inputs} inputs", advice=advice)
        if outputs % 32:
            raise DataError(f"{layer} has {outputs} outputs, no multiple of 32", advice="serve this model unquantized")
    return {match["layer"]: int(match["block"]) for match in shapes}


def _progress(task: Task, layers: dict[str, int], printed: DividedOutput) -> Callable[..., None]:
    blocks = len(set(layers.values()))

    def layer_complete(*, layer_idx: int, submodule_finalized: bool) -> None:
        if submodule_finalized:
            with printed.aloud():
                task.progress("quantizing", layer_idx + 1, blocks)

    return layer_complete


def _write_reference(base: Path, output: Path) -> None:
    """Probe the base in its own dtype."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from poise.weights.probe import take_probe

    model = AutoModelForCausalLM.from_pretrained(base, dtype="auto", use_safetensors=True)
    take_probe(model, AutoTokenizer.from_pretrained(base)).write(output / probe.REFERENCE_FILE)


def _quantize(task: Task, blocks: list[list[int]], layer_complete: Callable[..., None]) -> tuple[str, dict[str, Any]]:
    """Run GPTQModel and keep its weights alone; returns their dtype and the quantization's configuration."""
    import torch
    from gptqmodel import BACKEND, DEVICE_THREAD_POOL, GPTQModel

    base, options = task.inputs["base"], task.spec.options
    random.seed(options.seed)
    torch.manual_seed(options.seed)
    # vLLM runs 4-bit weights in 16 bits only.
    dtype = torch.float16 if files.config(base).get("dtype") == "float16" else torch.bfloat16
    device = "cuda:0" if task.spec.resources.gpus else "cpu"
    model = GPTQModel.load(str(base), _config(options, device), dtype=dtype)
    model.layer_callback = layer_complete
    on_cpu = BACKEND.AWQ_TORCH if options.format == "awq" else BACKEND.AUTO
    raw = (task.workdir / "gptqmodel").absolute()
    try:
        with contextlib.chdir(task.workdir):  # it leaves logs in the current folder
            model.quantize(
                [{"input_ids": block, "attention_mask": [1] * len(block)} for block in blocks],
                batch_size=BATCH,
                backend=on_cpu if device == "cpu" else BACKEND.AUTO,
                calibration_data_min_length=1,
            )
            model.save(str(raw))
    finally:
        # Its threads would abort the process if they were at work when it ends, as after SIGTERM.
        DEVICE_THREAD_POOL.shutdown(wait=True)
    for file in [*raw.glob("*.safetensors"), *raw.glob("*.safetensors.index.json")]:
        shutil.move(file, task.output / file.name)
    shutil.rmtree(raw)
    written = model.quantize_config.to_dict()
    return str(dtype).removeprefix("torch."), {key: written[key] for key in CONFIG_KEYS if key in written}


def _config(options: Any, device: str) -> Any:
    from gptqmodel.quantization.config import AWQConfig, GPTQConfig

    # Symmetric without reordering by activation is all that vLLM loads of GPTQ; AWQ has zero points.
    kind = {"gptq": (GPTQConfig, True), "awq": (AWQConfig, False)}
    config, symmetric = kind[options.format]
    return config(
        bits=options.bits,
        group_size=options.group_size,
        sym=symmetric,
        desc_act=False,
        device=device,
        offload_to_disk=False,
    )


def _check(base: Path, output: Path, layers: dict[str, int]) -> None:
    """Check that every linear layer is in 4 bits now, with finite scales, and that the weights take less room."""
    written = files.headers(output)
    if left := [layer for layer in layers if f"{layer}.qweight" not in written or f"{layer}.weight" in written]:
        raise InternalError(f"{left[0]} was not quantized", advice=f"{LOG} in the run's folder may say why")
    for name, tensor in files.tensors(output):
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InternalError(f"{name} is not finite after quantization", advice="use other calibration rows")
        if name.endswith(".scales") and not bool(tensor.any()):
            raise InternalError(f"{name} is zero after quantization", advice="use other calibration rows")
    if files.size(output) >= files.size(base):
        raise InternalError("the quantized weights are not smaller than the base")
