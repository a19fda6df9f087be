"""The precision is what the hardware does well, unless something else is asked for."""

from collections.abc import Callable
from typing import Any

T4, A100 = (7, 5), (8, 0)
# (asked, gpus, compute capability, GPUs seen) -> chosen, or what is said
CHOICES = {
    ("auto", 0, None, 0): "fp32",
    ("auto", 0, A100, 1): "fp32",
    ("bf16", 0, None, 0): "bf16",
    ("fp16", 0, None, 0): "fp16 needs a GPU",
    ("auto", 1, T4, 1): "fp16",
    ("auto", 1, A100, 1): "bf16",
    ("fp32", 1, A100, 1): "fp32",
    ("fp16", 1, A100, 1): "fp16",
    ("bf16", 1, T4, 1): "GPU has no bf16",
    ("auto", 1, None, 0): "torch sees no GPU",
    ("auto", 1, A100, 8): "one process trains on one GPU, but sees 8",
}


def test_the_precision_follows_the_hardware(in_environment: Callable[..., Any]) -> None:
    said = in_environment("precision.py", list(CHOICES))
    assert {case: line.splitlines()[0] for case, line in zip(CHOICES, said, strict=True)} == CHOICES
