"""Does a LoRA adapter fit its base? vLLM serves one that does not without complaint, so it is asked before."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from poise.errors import DataError
from poise.weights import files
from poise.weights.files import Header

CONFIG = "adapter_config.json"
# Weights of trained models lie far below 1, so an update of this size is no training but damage.
LARGEST_UPDATE = 10.0
_TENSOR = re.compile(r"base_model\.model\.(?P<layer>.+)\.lora_(?P<embedding>embedding_)?(?P<side>[AB])(\.weight)?")


def check_adapter(adapter: Path, base: Path) -> int:
    """Check every tensor of a PEFT LoRA folder against its configuration and its base; returns the rank.

    Checked are names, shapes, ranks, finiteness and the size of each update (root mean square of
    `alpha / rank * B @ A`). Of the base only headers are read.

    Raises:
        DataError: something does not fit; the message names the tensor.
    """
    settings = _settings(adapter)
    weights, rank = files.headers(base), settings["r"]
    sides: dict[str, dict[str, Any]] = {}
    for name, tensor in files.tensors(adapter):
        layer, side = _place(name, weights)
        _check_shape(name, tuple(tensor.shape), side, _in_and_out(layer, weights, name, settings), rank)
        if not bool(tensor.isfinite().all()):
            raise _refused(f"{name} holds values that are not finite", "train again with a lower learning rate")
        sides.setdefault(layer, {})[side] = tensor.float()
    if not sides:
        raise _refused("the adapter has no tensors", "make it again")
    scale = settings["lora_alpha"] / (math.sqrt(rank) if settings.get("use_rslora") else rank)
    for layer, pair in sides.items():
        _check_update(layer, pair, scale)
    return int(rank)


def _settings(adapter: Path) -> dict[str, Any]:
    try:
        settings: dict[str, Any] = json.loads((adapter / CONFIG).read_text())
        kind, task, rank = settings["peft_type"], settings["task_type"], settings["r"]
    except (OSError, ValueError, KeyError) as error:
        raise _refused(f"{CONFIG} is missing or damaged", "name a folder that PEFT has saved") from error
    if (kind, task) != ("LORA", "CAUSAL_LM") or settings.get("use_dora"):
        raise _refused(f"it is a {kind} adapter for {task}", "use plain LoRA for a causal language model")
    if not isinstance(rank, int) or rank < 1:
        raise _refused(f"{CONFIG} says rank {rank!r}", "make the adapter again")
    return settings


def _place(name: str, weights: Mapping[str, Header]) -> tuple[str, str]:
    match = _TENSOR.fullmatch(name)
    layer = match["layer"] if match else ""
    if match is None or f"{layer}.weight" not in weights:
        raise _refused(f"the base has no layer for {name}", "train it on this base, on linear layers alone")
    return layer, ("embedding_" if match["embedding"] else "") + match["side"]


def _in_and_out(layer: str, weights: Mapping[str, Header], name: str, settings: Mapping[str, Any]) -> tuple[int, int]:
    shape = weights[f"{layer}.weight"].shape
    if len(shape) != 2:
        raise _refused(f"{name} is for {layer}, which is no matrix", "train it on linear layers alone")
    # A linear layer's weight is (out, in); an embedding's, and a Conv1D's, is (in, out).
    transposed = settings.get("fan_in_fan_out") or "embedding_" in name
    return (shape[0], shape[1]) if transposed else (shape[1], shape[0])


def _check_shape(name: str, shape: tuple[int, ...], side: str, sizes: tuple[int, int], rank: int) -> None:
    inputs, outputs = sizes
    expected = (rank, inputs) if side.endswith("A") else (outputs, rank)
    if shape == expected:
        return
    found = shape[0] if side.endswith("A") else shape[-1]
    if found != rank:
        raise _refused(f"{name} has rank {found}, but {CONFIG} says {rank}", "make the adapter again")
    raise _refused(f"{name} is of shape {shape}, but the base needs {expected}", "train it on this base")


def _check_update(layer: str, pair: Mapping[str, Any], scale: float) -> None:
    down = pair.get("A", pair.get("embedding_A"))
    up = pair.get("B", pair.get("embedding_B"))
    if down is None or up is None:
        raise _refused(f"{layer} has only one of its two LoRA matrices", "make the adapter again")
    down, up = down.double(), up.double()
    # The norm of B @ A from two matrices of rank x rank, so that the full update is never built.
    squared = float(((up.T @ up) * (down @ down.T)).sum())
    mean_square = scale * math.sqrt(max(squared, 0.0) / (up.shape[0] * down.shape[1]))
    if not mean_square <= LARGEST_UPDATE:
        raise _refused(
            f"the update of {layer} is {mean_square:.2g} in root mean square, far beyond any weight",
            "train again with a lower learning rate",
        )


def _refused(what: str, advice: str) -> DataError:
    return DataError(f"the adapter does not fit its base: {what}", advice=advice)
