"""What 4-bit weights mean, computed without any kernel: `python dequantize.py BASE QUANTIZED`.

Prints the relative error of each layer's weights against the base's, and how far the model with the dequantized
weights is from `reference.json`, in nats a token.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from poise.artifacts.parity import compare
from poise.artifacts.probe import Probe
from poise.weights.probe import take_probe

SHIFTS = torch.arange(0, 32, 4)
# AWQ's kernels want the eight 4-bit numbers of a word in this order.
AWQ_ORDER = torch.tensor([0, 4, 1, 5, 2, 6, 3, 7])


def unpack_rows(packed: torch.Tensor) -> torch.Tensor:
    return ((packed[:, None, :] >> SHIFTS[None, :, None]) & 15).reshape(-1, packed.shape[1])


def unpack_columns(packed: torch.Tensor) -> torch.Tensor:
    return ((packed[:, :, None] >> SHIFTS) & 15).reshape(packed.shape[0], -1)


def reorder(unpacked: torch.Tensor) -> torch.Tensor:
    return unpacked.view(unpacked.shape[0], -1, 8)[:, :, AWQ_ORDER].reshape(unpacked.shape)


def weight(tensors: dict[str, torch.Tensor], layer: str) -> torch.Tensor:
    packed, scales = tensors[f"{layer}.qweight"], tensors[f"{layer}.scales"].float()
    zeros = unpack_columns(tensors[f"{layer}.qzeros"])
    if f"{layer}.g_idx" in tensors:
        values, zeros, group = unpack_rows(packed), zeros + 1, tensors[f"{layer}.g_idx"].long()
    else:
        values, zeros = reorder(unpack_columns(packed)), reorder(zeros)
        group = torch.arange(len(values)) // (len(values) // len(scales))
    return ((values - zeros[group]) * scales[group]).T.contiguous()


def main(base: Path, quantized: Path) -> None:
    tensors = load_file(quantized / "model.safetensors")
    layers = [name.removesuffix(".qweight") for name in tensors if name.endswith(".qweight")]
    packed = (".qweight", ".qzeros", ".scales", ".g_idx")
    state = {name: tensor.float() for name, tensor in tensors.items() if not name.endswith(packed)}
    state |= {f"{layer}.weight": weight(tensors, layer) for layer in layers}
    model = AutoModelForCausalLM.from_pretrained(base)
    original = model.state_dict()
    errors = {
        layer: float(
            (state[f"{layer}.weight"] - original[f"{layer}.weight"]).norm() / original[f"{layer}.weight"].norm()
        )
        for layer in layers
    }
    missing, unexpected = model.load_state_dict(state, strict=False)
    answers = take_probe(model, AutoTokenizer.from_pretrained(base))
    distance = compare(Probe.read(quantized / "reference.json"), answers, limit=0.0).mean
    print(
        json.dumps({"errors": errors, "distance": distance, "odd": [*set(missing) - {"lm_head.weight"}, *unexpected]})
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
