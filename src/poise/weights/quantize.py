"""The method `quantize`: 4-bit GPTQ (arXiv 2210.17323) or AWQ (arXiv 2306.00978) weights, in the forms vLLM loads."""

from __future__ import annotations

import contextlib
import random
import re
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from poise.artifacts import probe
from poise.artifacts.parity import compare
from poise.artifacts.probe import Probe
from poise.artifacts.task import Result, Task
from poise.errors import DataError, InternalError, Interrupted
from poise.weights import files
from poise.weights.calibration import calibration_rows
from poise.weights.settings import prepare_gptqmodel

GROUP_SIZES = (32, 64, 128)
BATCH = 8
# What vLLM reads of a quantization's configuration; the rest is GPTQModel's own, with local paths in it.
CONFIG_KEYS = ("bits", "group_size", "desc_act", "sym", "lm_head", "quant_method", "checkpoint_format", "zero_point")
_LAYER = re.compile(r".+\.\d+\..+\.weight")


def run(task: Task) -> Result:
    """Write the quantized weights, and as `reference.json` the probe of the base before quantization.

    The result's own probe is taken by the next stage, in the engine that serves it.

    Raises:
        DataError: the base cannot be quantized in these groups, or the calibration rows cannot be used.
    """
    started = time.monotonic()
    options, base, output = task.spec.options, task.inputs["base"], task.output
    layers = _layers(base, options.group_size)
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir(parents=True)
    prepare_gptqmodel(task.workdir)
    with _quiet(task.workdir / "gptqmodel.log") as shown:
        reference = _take_reference(base, output)
        rows = calibration_rows(task)
        quantized = _quantize(task, rows, shown, len(layers))
        after = _save(quantized, base, output)
    _check(base, output, layers)
    shift = compare(reference, after, limit=0.0).mean
    if not shift > 0:
        raise InternalError(f"the quantized weights answer {shift} nats a token from the base: nothing was quantized")
    metrics = {
        "base_shift": shift,
        "calibration_rows": float(len(rows)),
        "calibration_tokens": float(sum(map(len, rows))),
        "layers_quantized": float(len(layers)),
        "size_bytes": float(files.size(output)),
        "size_ratio": files.size(output) / files.size(base),
        "seconds": time.monotonic() - started,
    }
    return Result("weights", metrics, quantization=options.format)
