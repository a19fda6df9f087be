"""Which precision is chosen on which hardware: lists of `[asked, gpus, capability, GPUs seen]` in, choices out."""

import json
import sys

import torch

from poise.errors import MachineError
from poise.specs import METHOD_SPECS
from poise.train.model import precision


def choice(asked: str, gpus: int, capability: list[int] | None, seen: int) -> str:
    # There is no other way to have a T4 here; what the functions say of one is NVIDIA's own table.
    torch.cuda.is_available = lambda: capability is not None
    torch.cuda.get_device_capability = lambda: tuple(capability or ())
    torch.cuda.get_device_name = lambda: "GPU"
    torch.cuda.device_count = lambda: seen
    spec = {
        "method": "sft",
        "base": "builtin:tiny",
        "data": {"train": "builtin:sums"},
        "load": {"precision": asked},
        "resources": {"gpus": gpus},
    }
    try:
        return precision(METHOD_SPECS["sft"].model_validate(spec))
    except MachineError as error:
        return str(error)


if __name__ == "__main__":
    print("\n" + json.dumps([choice(*case) for case in json.load(sys.stdin)]))
