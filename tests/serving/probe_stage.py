"""`python probe_stage.py WORKDIR [EVAL]`: the stage as a worker runs it, in the environment `serve`.

Where WORKDIR/artifact has no `reference.json` yet, one is taken of the same weights with Transformers.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from poise.artifacts.probe import REFERENCE_FILE
from poise.artifacts.task import Task
from poise.errors import PoiseError
from poise.serving.probe import run


def main() -> None:
    workdir, *rows = map(Path, sys.argv[1:])
    if not (workdir / "artifact" / REFERENCE_FILE).exists():
        take_reference(workdir / "artifact")
    data = SimpleNamespace(eval=str(rows[0]) if rows else None, columns={})
    spec = SimpleNamespace(resources=SimpleNamespace(gpus=0), data=data)
    inputs = {"data.eval": rows[0]} if rows else {}
    unused: dict[str, Any] = {"on_step": print, "save_checkpoint": print, "progress": print}
    task = Task(spec, inputs, workdir, restore_checkpoint=lambda: None, stop_requested=lambda: False, **unused)
    try:
        print(json.dumps(asdict(run(task))))
    except PoiseError as error:
        sys.exit(f"{error.reason}: {error}")


def take_reference(folder: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from poise.weights.probe import take_probe

    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    take_probe(model, AutoTokenizer.from_pretrained(folder)).write(folder / REFERENCE_FILE)


if __name__ == "__main__":
    main()
