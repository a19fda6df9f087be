"""Three defects of vLLM 0.32 on CPUs, cured from outside until a release has the cures.

Each looks its target up by name, so a vLLM that has renamed it ends with an error instead of running uncured.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

from poise.errors import MachineError

_LORA_OPS = ("bgmv_shrink", "bgmv_expand", "bgmv_expand_slice")
_LORA_MODULES = (
    "vllm.lora.ops.torch_ops.lora_ops",
    "vllm.lora.ops.torch_ops",
    "vllm.lora.punica_wrapper.punica_cpu",
)
Op = Callable[..., None]


def apply() -> None:
    """Apply all three; raises `MachineError` where this vLLM is not one they fit."""
    leave_base_rows_alone()
    zero_kv_blocks()
    enable_amx()


def leave_base_rows_alone() -> None:
    """Rows of a batch that belong to no adapter have index -1, which the CPU ops read as the last adapter:
    requests to the base were answered with an adapter's weights (vLLM issues 48421 and 49656)."""
    modules = [_module(name) for name in _LORA_MODULES]
    for op in _LORA_OPS:
        cured = _skipping_base_rows(_attribute(modules[0], op))
        for module in modules:
            _attribute(module, op)
            setattr(module, op, cured)


def _skipping_base_rows(op: Op) -> Op:
    """`op(inputs, weights, output, indices, ...)` writes into `output`, of shape (rows, features), in place."""
    if hasattr(op, "__wrapped__"):  # vLLM may load a plugin twice
        return op

    @functools.wraps(op)
    def cured(
        inputs: torch.Tensor,
        weights: torch.Tensor,
        output: torch.Tensor,
        indices: torch.Tensor,
        *rest: object,
        **named: object,
    ) -> None:
        rows = (indices >= 0).nonzero().squeeze(1)
        if len(rows) == len(indices):
            op(inputs, weights, output, indices, *rest, **named)
        elif len(rows):
            part = output[rows]
            op(inputs[rows], weights, part, indices[rows], *rest, **named)
            output[rows] = part

    return cured


def zero_kv_blocks() -> None:
    """A KV-cache block that once held NaN (from one bad adapter) spoils the next request that is given it,
    since attention multiplies its unwritten part by zero. vLLM can zero new blocks, and does for some models."""
    config = _attribute(_module("vllm.v1.kv_cache_interface"), "KVCacheConfig")
    _attribute(config, "needs_kv_cache_zeroing")
    config.needs_kv_cache_zeroing = property(lambda self: True)


def enable_amx() -> None:
    """Linux grants a process the AMX tiles only on request, and vLLM's bf16 kernels do not ask: SIGILL."""
    if _attribute(torch.cpu, "_is_amx_tile_supported")():
        _attribute(torch.cpu, "_init_amx")()


def _module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise _unfit(name) from error


def _attribute(owner: object, name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        raise _unfit(f"{getattr(owner, '__name__', owner)}.{name}") from error


def _unfit(name: str) -> MachineError:
    return MachineError(
        f"this vLLM has no {name}", advice="`poise env sync serve` installs the version Poise is made for"
    )
