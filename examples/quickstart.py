"""The main job from end to end: run `quickstart.yaml`, serve what it made, ask held-out questions, show the gain.

`make quickstart` runs this after setting up. It writes `.poise/quickstart.json` and exits with 0 only if every check
held. It is also an example of Poise as a library: everything below `poise.` that it uses is public.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import OpenAI
from rich.console import Console
from rich.table import Table

from poise import builtin, environments
from poise.artifacts import keys, transfer
from poise.cli.show import RunProgress
from poise.client import Client, Outcome
from poise.data import Question, is_correct, questions, read_rows
from poise.serving.launch import Deployment, Options
from poise.serving.plan import plan

FILE = Path(__file__).with_name("quickstart.yaml")
STEPS = ("sft", "grpo", "merged", "gptq", "awq")


@dataclass(frozen=True)
class Check:
    """One thing that must hold, and the figures that say whether it does."""

    name: str
    ok: bool
    figures: str


class Stopwatch:
    """Wall seconds by part; `total` counts from `began`, which may lie before this process."""

    def __init__(self, began: float) -> None:
        self._began = began
        self._mark = time.time()
        self.seconds: dict[str, float] = {"setup": round(self._mark - began, 1)}

    def lap(self, part: str) -> None:
        now = time.time()
        self.seconds[part] = round(now - self._mark, 1)
        self._mark = now

    def stop(self) -> None:
        self.seconds["total"] = round(time.time() - self._began, 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--began", type=float, default=time.time(), help="seconds since the epoch at which set-up began"
    )
    options = parser.parse_args()
    console = Console(width=None if sys.stdout.isatty() else 110)
    watch, client = Stopwatch(options.began), Client()

    outcomes = run_pipeline(client, watch)
    if failed := [outcome for outcome in outcomes.values() if outcome.status.phase != "Succeeded"]:
        for outcome in failed:
            console.print(f"{outcome.name}: {outcome.status.phase}: {outcome.status.message}")
        return 1
    evaluations = {name: evaluation(client, outcome) for name, outcome in outcomes.items()}
    served, asked = serve_and_ask(client, outcomes)
    watch.lap("serve")
    watch.stop()

    held_out = {"base": evaluations["sft"]["before"]["accuracy"]}
    held_out |= {name: evaluations[name]["after"]["accuracy"] for name in STEPS}
    parity = {name: outcome.status.parity for name, outcome in outcomes.items() if outcome.status.parity}
    checks = checked(held_out, served, parity)
    result = {
        "held_out": held_out, "served": served, "parity": parity, "seconds": watch.seconds,
        "checks": {check.name: check.ok for check in checks}, "ok": all(check.ok for check in checks),
    }  # fmt: skip
    (client.settings.home / "quickstart.json").write_text(json.dumps(result, indent=2) + "\n")
    show(console, client, outcomes, evaluations, served, checks, asked, watch)
    return 0 if result["ok"] else 1


def run_pipeline(client: Client, watch: Stopwatch) -> dict[str, Outcome]:
    """All steps; merging counts as training, and the two quantizations run side by side."""
    progress = RunProgress(quiet=False)

    def on_event(step: str, event: dict[str, Any]) -> None:
        if step in {"gptq", "awq"} and "train" not in watch.seconds:
            watch.lap("train")
        progress(step, event)

    # The file asks for no GPU, so that it runs anywhere; the CUDA builds of quantizer and vLLM need one.
    gpu = environments.gpu_count() > 0
    overrides = tuple(f"spec.steps.{index}.spec.resources.gpus=1" for index in range(len(STEPS)) if gpu)
    with progress.live():
        outcomes = client.run(FILE, overrides, on_event, parallel=1 if gpu else 2)
    watch.lap("quantize")
    return {outcome.name: outcome for outcome in outcomes}


def evaluation(client: Client, outcome: Outcome) -> dict[str, Any]:
    """What the worker measured on the held-out questions, before and after its work."""
    assert outcome.status.artifact is not None
    data = transfer.read_file(client.store, outcome.status.artifact, "evaluation.json")
    assert data is not None
    measured: dict[str, Any] = json.loads(data)
    return measured


def serve_and_ask(client: Client, outcomes: dict[str, Outcome]) -> tuple[dict[str, float], dict[str, list[str]]]:
    """Held-out accuracy through gateway and vLLM, and the answers, of base, adapter and both quantized versions."""
    names = {name: str(outcomes[step].status.published) for name, step in
             (("adapter", "grpo"), ("gptq", "gptq"), ("awq", "awq"))}  # fmt: skip
    plans = plan([version for name in names.values() for version in client.served(name)])
    names["base"] = next(item.name for item in plans if item.version is None)
    rows = read_rows(builtin.path("sums"), "builtin:sums?split=test", {})
    asked = questions(rows)
    record, key = keys.create_key(client.store, "quickstart")
    try:
        home = client.settings.home
        options = Options(gpu=environments.gpu_count() > 0)
        with Deployment(home, environments.python("serve", home), client.store, plans, options, print) as deployment:
            api = OpenAI(base_url=f"{deployment.url}/v1", api_key=key, max_retries=0)
            answers = {name: ask_all(api, model, asked) for name, model in names.items()}
    finally:
        keys.revoke_key(client.store, record.id)
    right = {
        name: sum(is_correct(answer, question.answer) for answer, question in zip(said, asked, strict=True))
        for name, said in answers.items()
    }
    return {name: right[name] / len(asked) for name in ("base", "adapter", "gptq", "awq")}, answers


def ask_all(api: OpenAI, model: str, asked: list[Question]) -> list[str]:
    """Every question over `/v1/chat/completions`, greedily, each second one streamed."""
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda item: ask(api, model, item[1], stream=item[0] % 2 == 1), enumerate(asked)))


def ask(api: OpenAI, model: str, question: Question, *, stream: bool) -> str:
    create: Callable[..., Any] = api.chat.completions.create
    reply = create(model=model, messages=question.messages, temperature=0, max_tokens=16, stream=stream)
    if not stream:
        return reply.choices[0].message.content or ""
    return "".join(chunk.choices[0].delta.content or "" for chunk in reply if chunk.choices)


def checked(held_out: dict[str, float], served: dict[str, float], parity: dict[str, Any]) -> list[Check]:
    """What must hold of a quickstart."""
    checks = [
        gain("GRPO gains on the base", held_out["grpo"], held_out["base"], 0.15),
        gain("GRPO gains on SFT", held_out["grpo"], held_out["sft"], 0.05),
        near("the base is served as it is", served["base"], held_out["base"], 0.03),
        near("the adapter is served as it was trained", served["adapter"], held_out["grpo"], 0.03),
        near("merging changes nothing", held_out["merged"], held_out["grpo"], 0.03),
    ]
    for name in ("gptq", "awq"):
        checks.append(near(f"{name.upper()} answers as merged", held_out[name], held_out["merged"], 0.06))
        checks.append(near(f"{name.upper()} is served as merged", served[name], held_out["merged"], 0.06))
    for name, measured in parity.items():
        checks.append(Check(f"parity of {name}", measured["ok"], measured["description"]))
    return checks


def gain(name: str, after: float, before: float, least: float) -> Check:
    return Check(name, after - before >= least, f"{before:.3f} -> {after:.3f}, at least +{least}")


def near(name: str, value: float, reference: float, limit: float) -> Check:
    return Check(name, abs(value - reference) <= limit + 1e-9, f"{value:.3f} against {reference:.3f}, within {limit}")


def show(
    console: Console, client: Client, outcomes: dict[str, Outcome], evaluations: dict[str, dict[str, Any]],
    served: dict[str, float], checks: list[Check], asked: dict[str, list[str]], watch: Stopwatch,
) -> None:  # fmt: skip
    """The tables."""
    console.print(results(client, outcomes, evaluations, served))
    console.print(answers(asked))
    for check in checks:
        console.print(f"{'[green]ok  ' if check.ok else '[red]FAIL'}[/] {check.name}: {check.figures}", highlight=False)
    console.print("  ".join(f"{part} {seconds:.0f} s" for part, seconds in watch.seconds.items()), highlight=False)
    if sys.stdout.isatty():
        console.print("\nkeep it up:  [bold]source .venv/bin/activate && poise serve sums sums-gptq[/]")


def results(
    client: Client, outcomes: dict[str, Outcome], evaluations: dict[str, dict[str, Any]], served: dict[str, float]
) -> Table:
    table = Table(title="88 held-out sums: share answered right", title_justify="left")
    for column in ("model", "version", "held out", "served", "logprob a token", "size", "seconds"):
        table.add_column(column, justify="left" if column in {"model", "version"} else "right")
    before = evaluations["sft"]["before"]
    size = sum(file.stat().st_size for file in builtin.path("tiny").glob("*.safetensors"))
    table.add_row(
        "base", "", f"{before['accuracy']:.3f}", f"{served['base']:.3f}", f"{before['logprob']:.3f}", _size(size), ""
    )
    titles = {"sft": "SFT adapter", "grpo": "GRPO adapter", "merged": "merged", "gptq": "GPTQ", "awq": "AWQ"}
    for name, title in titles.items():
        status, after = outcomes[name].status, evaluations[name]["after"]
        manifest = transfer.read_manifest(client.store, str(status.artifact))
        asked = served.get({"grpo": "adapter"}.get(name, name))
        weights = sum(file.size for file in manifest.files if file.path.endswith(".safetensors"))
        table.add_row(
            title, status.published or "", f"{after['accuracy']:.3f}", "" if asked is None else f"{asked:.3f}",
            f"{after['logprob']:.3f}", _size(weights), f"{manifest.seconds:.0f}",
        )  # fmt: skip
    return table


def answers(asked: dict[str, list[str]]) -> Table:
    """Three questions that the base got wrong and the adapter right, as they were answered over the API."""
    rows = questions(read_rows(builtin.path("sums"), "builtin:sums?split=test", {}))
    table = Table(title="before and after, as served", title_justify="left")
    for column in ("question", "base", "GRPO adapter", "GPTQ"):
        table.add_column(column)
    said = list(zip(rows, asked["base"], asked["adapter"], asked["gptq"], strict=True))
    told = [row for row in said if is_correct(row[2], row[0].answer) and not is_correct(row[1], row[0].answer)]
    for question, *texts in (told or said)[:3]:
        table.add_row(question.text, *texts)
    return table


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB"


if __name__ == "__main__":
    sys.exit(main())
