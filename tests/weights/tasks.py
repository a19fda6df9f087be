"""Run methods on real tasks, one after the other, in the environment whose Python runs this file.

Reads a list of `{entry, spec, inputs, workdir}` from standard input; the last line printed is a list with a result,
or the error as `{error, message}`, of each.
"""

from __future__ import annotations

import importlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from poise.artifacts.task import Task
from poise.errors import PoiseError
from poise.specs import MergeSpec, QuantizeSpec

SPECS: dict[str, Any] = {"merge": MergeSpec, "quantize": QuantizeSpec}


def run(case: dict[str, Any]) -> dict[str, Any]:
    module, _, function = case["entry"].partition(":")
    workdir = Path(case["workdir"])
    workdir.mkdir(parents=True, exist_ok=True)
    task = Task(
        spec=SPECS[case["spec"]["method"]].model_validate(case["spec"]),
        inputs={name: Path(path) for name, path in case["inputs"].items()},
        workdir=workdir,
        on_step=lambda step, metrics: None,
        save_checkpoint=lambda step, folder: None,
        restore_checkpoint=lambda: None,
        stop_requested=lambda: False,
        progress=lambda what, done, of: print(f"{what} {done}/{of}", flush=True),
    )
    try:
        return asdict(getattr(importlib.import_module(module), function)(task))
    except PoiseError as error:
        return {"error": type(error).__name__, "message": str(error)}


if __name__ == "__main__":
    print(json.dumps([run(case) for case in json.load(sys.stdin)]))
