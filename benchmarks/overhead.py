"""What Poise costs on top of TRL: CPU seconds of `poise run` against the `trl sft` command, interleaved.

Both train the same LoRA on the same model, data and seed. Each is run at two lengths; the slope between them is the
cost of a step, what is left is the fixed cost. CPU seconds are those of the whole process tree, which a shared machine
disturbs less than wall time.

    .venv/bin/python benchmarks/overhead.py --json overhead.json
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import track
from rich.table import Table

from poise import builtin, environments
from poise.runs.metrics import read_metrics
from poise.runs.record import find_run
from poise.settings import Settings
from poise.store import open_store

STEP_RATIO_LIMIT, FIXED_LIMIT = 1.05, 5.0
LEARNING_RATE, BATCH, SEED, RANK, ALPHA = 1e-3, 64, 42, 16, 32


@dataclass(frozen=True)
class Sample:
    """One whole command: its CPU seconds, user and system, and the loss of each step."""

    cpu: float
    losses: tuple[float, ...]


@dataclass(frozen=True)
class Cost:
    """CPU seconds a step and CPU seconds that do not depend on the number of steps."""

    step: float
    fixed: float


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write step_ratio, fixed_extra_s and losses_equal here")
    parser.add_argument("--short", type=int, default=20, help="steps of the short runs")
    parser.add_argument("--long", type=int, default=220, help="steps of the long runs")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds")
    options = parser.parse_args()
    lengths = (options.short, options.long)
    poise: dict[int, list[Sample]] = {steps: [] for steps in lengths}
    trl: dict[int, list[Sample]] = {steps: [] for steps in lengths}
    home = Settings.from_environment().home
    for _ in track(range(options.rounds), description="rounds", disable=not sys.stderr.isatty()):
        for steps in lengths:
            with tempfile.TemporaryDirectory() as folder:
                poise[steps].append(run_poise(Path(folder), home, steps))
            with tempfile.TemporaryDirectory() as folder:
                trl[steps].append(run_trl(Path(folder), home, steps))
    ours, theirs = cost(poise), cost(trl)
    result = {
        "step_ratio": round(ours.step / theirs.step, 4),
        "fixed_extra_s": round(ours.fixed - theirs.fixed, 2),
        "losses_equal": all(
            mine.losses == other.losses and len(mine.losses) == steps
            for steps in lengths
            for mine, other in zip(poise[steps], trl[steps], strict=True)
        ),
        "poise": {"step_cpu_s": round(ours.step, 5), "fixed_cpu_s": round(ours.fixed, 2)},
        "trl": {"step_cpu_s": round(theirs.step, 5), "fixed_cpu_s": round(theirs.fixed, 2)},
        "steps": list(lengths),
        "rounds": options.rounds,
    }
    show(result, ours, theirs)
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    held = result["losses_equal"] and ours.step <= STEP_RATIO_LIMIT * theirs.step
    return 0 if held and ours.fixed - theirs.fixed <= FIXED_LIMIT else 1


def run_poise(folder: Path, home: Path, steps: int) -> Sample:
    """`poise run` of a file in a store of its own."""
    file = folder / "run.yaml"
    spec = {
        "method": "sft",
        "base": "builtin:tiny",
        "data": {"train": "builtin:sums?split=train"},
        "adapter": {"rank": RANK, "alpha": ALPHA},
        "options": {
            "learning_rate": LEARNING_RATE,
            "max_steps": steps,
            "per_device_train_batch_size": BATCH,
            "save_steps": steps,
            "seed": SEED,
        },
    }
    run = {"apiVersion": "poise.dev/v1alpha1", "kind": "Run", "metadata": {"name": "overhead"}, "spec": spec}
    file.write_text(json.dumps(run))
    cpu = measure(
        [sys.executable, "-m", "poise.cli", "run", str(file)],
        {"POISE_HOME": str(home), "POISE_STORE": str(folder / "store")},
    )
    store = open_store(str(folder / "store"))
    identifier = find_run(store, "overhead")
    losses = tuple(round(record["loss"], 4) for record in read_metrics(store, identifier))
    shutil.rmtree(home / "work" / identifier, ignore_errors=True)
    return Sample(cpu, losses)


def run_trl(folder: Path, home: Path, steps: int) -> Sample:
    """`trl sft` with the same settings; the data is a folder of its own, since TRL takes every file it finds."""
    data, output = folder / "data", folder / "output"
    data.mkdir()
    shutil.copy(builtin.path("sums") / "train.jsonl", data / "train.jsonl")
    arguments = {
        "model_name_or_path": builtin.path("tiny"), "dataset_name": data, "output_dir": output, "seed": SEED,
        "learning_rate": LEARNING_RATE, "max_steps": steps, "per_device_train_batch_size": BATCH,
        "lora_r": RANK, "lora_alpha": ALPHA, "lora_dropout": 0.0, "lora_target_modules": "all-linear", "use_peft": True,
        "assistant_only_loss": True, "use_cpu": True, "bf16": False, "gradient_checkpointing": False,
        "logging_steps": 1, "save_strategy": "steps", "save_steps": steps, "report_to": "none", "disable_tqdm": True,
    }  # fmt: skip
    program = environments.python("train", home).with_name("trl")
    command = [str(program), "sft", *(part for key, value in arguments.items() for part in (f"--{key}", str(value)))]
    cpu = measure(command, {"HF_HOME": str(folder / "hub")})
    state = json.loads((output / f"checkpoint-{steps}" / "trainer_state.json").read_text())
    return Sample(cpu, tuple(round(item["loss"], 4) for item in state["log_history"] if "loss" in item))


def measure(command: list[str], extra: dict[str, str]) -> float:
    """CPU seconds of a command and all that it started and waited for."""
    environment = os.environ | {
        "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", "PYTHONDONTWRITEBYTECODE": "",
        "HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", **extra,
    }  # fmt: skip
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def cost(samples: dict[int, list[Sample]]) -> Cost:
    """Slope and intercept through the medians of the two lengths."""
    (short, low), (long, high) = (
        (steps, statistics.median(sample.cpu for sample in listed)) for steps, listed in sorted(samples.items())
    )
    step = (high - low) / (long - short)
    return Cost(step, low - short * step)


def show(result: dict[str, object], ours: Cost, theirs: Cost) -> None:
    table = Table(title="CPU seconds", title_justify="left")
    for column in ("", "a step", "fixed"):
        table.add_column(column, justify="left" if not column else "right")
    table.add_row("poise run", f"{ours.step:.4f}", f"{ours.fixed:.1f}")
    table.add_row("trl sft", f"{theirs.step:.4f}", f"{theirs.fixed:.1f}")
    table.add_row("", f"x {result['step_ratio']}", f"{result['fixed_extra_s']:+} s")
    Console().print(table, f"losses equal: {result['losses_equal']}")


if __name__ == "__main__":
    sys.exit(main())
