"""Group-relative policy optimization: it learns from rewards and from nothing else, and a stop changes nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Outcomes = dict[str, dict[str, Any]]
REWARDS = """
import random
from dataclasses import dataclass

dice = random.Random(5)


@dataclass
class Score:
    value: float


def noise(completions, **given):
    return [dice.random() for _ in completions]


def parity(prompts, completions, completion_ids, answer, **given):
    return [Score(float(text[0]["content"][-1:] in "02468")).value for text in completions]


def broken(completions, **given):
    return [1 / 0 for _ in completions]


def few(completions, **given):
    return [1.0]


def endless(completions, **given):
    return [float("nan") for _ in completions]
"""


@pytest.fixture(scope="module")
def reward_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rewards") / "mine.py"
    path.write_text(REWARDS)
    return path


@pytest.fixture(scope="module")
def run(train: Callable[..., Any], reward_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Do named jobs; each may read the rewards of `REWARDS` as `mine.py:NAME`, in any place of its list."""

    def jobs(**listed: dict[str, Any]) -> Outcomes:
        folder = tmp_path_factory.mktemp("grpo")
        shared = {f"rewards.{index}": str(reward_file) for index in range(2)}
        done = train(
            *(
                {"work": str(folder / name), **job, "inputs": shared | job.get("inputs", {})}
                for name, job in listed.items()
            )
        )
        return dict(zip(listed, done, strict=True))

    return jobs


@pytest.fixture(scope="module")
def outcomes(
    run: Callable[..., Outcomes], grpo: Callable[..., Any], sft: Callable[..., Any], tmp_path_factory: Any
) -> Outcomes:
    folder = tmp_path_factory.mktemp("adapter")
    inputs = {"adapter": str(folder / "sft" / "artifact")}
    continued = {**grpo(beta=0.05), "adapter": None}
    odd = folder / "odd.jsonl"
    odd.write_text('{"prompt": "1 + 1 =", "answer": "2"}\n{"prompt": "1 + 2 =", "answer": 3}\n')
    taken = folder / "taken.jsonl"
    taken.write_text('{"prompt": "1 + 1 =", "answer": "2", "completions": "2"}\n')
    return run(
        fresh={"spec": grpo([{"use": "mine.py:parity"}, {"use": "exact_number"}])},
        sft={"spec": {**sft(), "adapter": {"rank": 4}}, "work": str(folder / "sft")},
        whole={"spec": continued, "inputs": inputs},
        stopped={"spec": continued, "inputs": inputs, "stop": 2, "work": str(folder / "stopped")},
        resumed={"spec": continued, "inputs": inputs, "resume": True, "work": str(folder / "stopped")},
        broken={"spec": grpo([{"use": "mine.py:broken"}])},
        few={"spec": grpo([{"use": "mine.py:few"}])},
        endless={"spec": grpo([{"use": "mine.py:endless"}])},
        missing={"spec": grpo([{"use": "mine.py:nose"}])},
        column={"spec": grpo([{"use": "exact_number", "column": "solution"}])},
        odd={"spec": {**grpo(), "data": {"train": "odd.jsonl"}}, "inputs": {"data.train": str(odd)}},
        taken={"spec": {**grpo(), "data": {"train": "taken.jsonl"}}, "inputs": {"data.train": str(taken)}},
    )


def test_every_step_reports_rewards_lengths_and_entropy(outcomes: Outcomes) -> None:
    fresh = outcomes["fresh"]
    assert fresh["error"] is None
    assert [step for step, _ in fresh["steps"]] == [1, 2, 3, 4, 5]
    _, metrics = fresh["steps"][0]
    assert {"loss", "entropy", "reward/mean", "reward/std", "length/mean", "length/cut_off"} <= set(metrics)
    both = metrics["reward/by/parity"] + metrics["reward/by/exact_number"]
    assert metrics["reward/mean"] == pytest.approx(both, abs=1e-6)
    assert (fresh["result"]["kind"], fresh["result"]["rank"]) == ("adapter", 4)


def test_a_continued_adapter_starts_at_its_reference_and_moves_away(outcomes: Outcomes) -> None:
    divergence = [metrics["kl"] for _, metrics in outcomes["whole"]["steps"]]
    assert divergence[0] == pytest.approx(0, abs=1e-6)
    assert divergence[-1] > 1e-4
    files = {file.name for file in Path(outcomes["whole"]["output"]).iterdir()}
    assert files == {"adapter_config.json", "adapter_model.safetensors", "probe.json"}


def test_a_resumed_run_has_the_losses_of_one_that_was_never_stopped(outcomes: Outcomes) -> None:
    assert outcomes["stopped"]["error"][0] == "Interrupted"
    for name in ("loss", "kl", "reward/mean", "entropy"):
        resumed = [metrics[name] for _, metrics in outcomes["resumed"]["steps"]]
        whole = [metrics[name] for _, metrics in outcomes["whole"]["steps"]]
        assert resumed == pytest.approx(whole[2:], abs=1e-6)


@pytest.mark.parametrize(
    ("name", "reason", "words"),
    [
        ("broken", "UserError", "reward mine.py:broken raised ZeroDivisionError: division by zero"),
        ("few", "UserError", "reward mine.py:few returned 1 values for 32 completions"),
        ("endless", "UserError", "reward mine.py:endless returned nan for"),
        ("missing", "UserError", "mine.py has no function 'nose'"),
        ("column", "DataError", "compares with the column 'solution'; beside the prompt the data has: answer"),
        ("taken", "DataError", "taken.jsonl:1: no column may be called 'completions' here"),
        ("odd", "DataError", "odd.jsonl: a column holds values of several types"),
    ],
)
def test_what_cannot_be_scored_is_named(outcomes: Outcomes, name: str, reason: str, words: str) -> None:
    found, message = outcomes[name]["error"]
    assert (found, words in message) == (reason, True), message


def test_rewards_teach_and_noise_does_not(
    run: Callable[..., Outcomes], grpo: Callable[..., Any], sft: Callable[..., Any], tmp_path: Path
) -> None:
    """Both go on from one SFT adapter, made as the quickstart makes its own."""
    first = sft(max_steps=10, learning_rate=5e-4, per_device_train_batch_size=32)
    options = {"max_steps": 25, "learning_rate": 2e-3, "per_device_train_batch_size": 128, "num_generations": 8}
    data = {"train": "builtin:sums?split=train", "eval": "builtin:sums?split=test"}
    inputs = {"adapter": str(tmp_path / "sft" / "artifact")}
    done = run(
        sft={"spec": {**first, "adapter": {"rank": 16, "alpha": 32}}, "work": str(tmp_path / "sft")},
        taught={"spec": {**grpo(**options), "adapter": None, "data": data}, "inputs": inputs},
        control={
            "spec": {**grpo([{"use": "mine.py:noise"}], **options), "adapter": None, "data": data},
            "inputs": inputs,
        },
    )
    measured = {
        name: json.loads((Path(done[name]["output"]) / "evaluation.json").read_text()) for name in ("taught", "control")
    }
    assert measured["taught"]["before"] == measured["control"]["before"]
    gain = {name: found["after"]["accuracy"] - found["before"]["accuracy"] for name, found in measured.items()}
    assert gain["taught"] >= 0.05
    assert gain["control"] <= 0.02
