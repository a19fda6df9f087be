"""Supervised fine-tuning: what is learned, what is written, and that a stop changes nothing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from poise import builtin

Outcomes = dict[str, dict[str, Any]]
ROWS = [
    {"prompt": "1 + 1 =", "completion": "2"},
    {"prompt": "7 + 5 =", "completion": "That makes 12."},
    {"prompt": "20 + 20 =", "completion": "40"},
    {"prompt": "3 + 9 =", "completion": "Let me think about it. Adding 9 to 3 we get 12."},
]


def losses(outcome: dict[str, Any]) -> list[float]:
    return [metrics["loss"] for _, metrics in outcome["steps"]]


@pytest.fixture(scope="module")
def outcomes(train: Callable[..., Any], sft: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    folder = tmp_path_factory.mktemp("sft")
    rows = folder / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    small = {"data": {"train": "rows.jsonl"}, "max_steps": 1, "per_device_train_batch_size": 4}
    evaluated = {"train": "builtin:sums?split=train", "eval": "builtin:sums?split=test"}
    inputs = {"data.train": str(rows)}
    jobs = {
        "whole": {"spec": sft(data=evaluated)},
        "stopped": {"spec": sft(), "stop": 3},
        "resumed": {"spec": sft(), "work": str(folder / "stopped"), "resume": True},
        "padded": {"spec": sft(**small), "inputs": inputs},
        "packed": {"spec": sft(**small, packing=True, max_length=128), "inputs": inputs},
        "cut": {"spec": sft(**small, max_length=20), "inputs": inputs},
        "short": {"spec": sft(**small, max_length=4), "inputs": inputs},
        "accumulated": {
            "spec": sft(**{**small, "per_device_train_batch_size": 1}, gradient_accumulation_steps=4),
            "inputs": inputs,
        },
        "prompts": {"spec": sft(**small, completion_only=False), "inputs": inputs},
        "diverging": {"spec": sft(learning_rate=1e30, max_grad_norm=0.0)},
    }
    done = train(*({"work": str(folder / name), **job} for name, job in jobs.items()))
    return dict(zip(jobs, done, strict=True))


def test_the_loss_falls_and_every_step_is_reported_once(outcomes: Outcomes) -> None:
    whole = outcomes["whole"]
    assert whole["error"] is None
    assert [step for step, _ in whole["steps"]] == [1, 2, 3, 4, 5, 6]
    assert losses(whole)[-1] < losses(whole)[0]
    _, metrics = whole["steps"][0]
    expected = {"loss", "grad_norm", "learning_rate", "epoch", "entropy", "accuracy", "trl/num_tokens"}
    assert set(metrics) == expected


def test_the_artifact_is_an_adapter_without_a_path_of_this_machine(outcomes: Outcomes) -> None:
    whole = outcomes["whole"]
    output = Path(whole["output"])
    assert {file.name for file in output.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "evaluation.json", "probe.json"
    }  # fmt: skip
    assert json.loads((output / "adapter_config.json").read_text())["base_model_name_or_path"] is None
    assert (whole["result"]["kind"], whole["result"]["rank"]) == ("adapter", 4)


def test_held_out_questions_are_asked_before_and_after(outcomes: Outcomes) -> None:
    evaluation = json.loads((Path(outcomes["whole"]["output"]) / "evaluation.json").read_text())
    before, after = evaluation["before"], evaluation["after"]
    assert evaluation["rows"] == 88
    assert 0.2 < before["accuracy"] < 0.4
    assert after["logprob"] > before["logprob"]
    assert outcomes["whole"]["result"]["metrics"] == {
        "eval/accuracy": after["accuracy"],
        "eval/logprob": after["logprob"],
    }
    assert evaluation["samples"][0]["answer"] == "26"


def test_a_stop_saves_a_checkpoint_and_says_so(outcomes: Outcomes) -> None:
    stopped = outcomes["stopped"]
    assert stopped["error"][0] == "Interrupted"
    assert [step for step, _ in stopped["steps"]] == [1, 2, 3]
    assert [Path(folder).name for folder in stopped["checkpoints"]] == ["checkpoint-3"]


def test_a_resumed_run_has_the_losses_of_one_that_was_never_stopped(outcomes: Outcomes) -> None:
    resumed = outcomes["resumed"]
    assert [step for step, _ in resumed["steps"]] == [4, 5, 6]
    assert losses(resumed) == pytest.approx(losses(outcomes["whole"])[3:], abs=1e-6)


def test_the_losses_are_those_of_trls_own_command(
    outcomes: Outcomes, in_environment: Callable[..., Any], tmp_path: Path
) -> None:
    arguments = {
        "model_name_or_path": builtin.path("tiny"), "dataset_name": builtin.path("sums"), "output_dir": tmp_path,
        "learning_rate": 1e-3, "max_steps": 6, "per_device_train_batch_size": 16, "use_peft": True, "lora_r": 4,
        "lora_alpha": 32, "lora_dropout": 0.1, "lora_target_modules": "all-linear", "assistant_only_loss": True,
        "logging_steps": 1, "save_steps": 6, "use_cpu": True, "bf16": False, "gradient_checkpointing": False,
        "report_to": "none", "disable_tqdm": True, "eval_strategy": "no", "seed": 42,
    }  # fmt: skip
    listed = [word for name, value in arguments.items() for word in (f"--{name}", str(value))]
    assert losses(outcomes["whole"]) == pytest.approx(in_environment("trl_sft.py", listed), abs=1e-6)


def test_packed_rows_do_not_see_each_other(outcomes: Outcomes) -> None:
    # One step over all rows: the mean over the learned tokens is the same however the rows are laid out.
    padded = outcomes["padded"]
    assert losses(outcomes["packed"]) == pytest.approx(losses(padded), abs=1e-4)
    tokens = {name: outcomes[name]["steps"][0][1]["trl/num_tokens"] for name in ("padded", "packed")}
    assert tokens["packed"] == tokens["padded"]


def test_the_loss_is_the_mean_over_tokens_however_the_batch_is_divided(outcomes: Outcomes) -> None:
    assert losses(outcomes["accumulated"]) == pytest.approx(losses(outcomes["padded"]), abs=1e-4)


def test_prompts_are_learned_only_when_asked_for(outcomes: Outcomes) -> None:
    assert losses(outcomes["prompts"])[0] > 1.5 * losses(outcomes["padded"])[0]


def test_rows_that_max_length_cuts_before_the_answer_are_left_out(outcomes: Outcomes) -> None:
    assert outcomes["cut"]["error"] is None
    reason, message = outcomes["short"]["error"]
    assert reason == "DataError"
    assert "all 4 rows are longer than 4 tokens" in message


def test_a_loss_that_is_no_number_stops_the_run(outcomes: Outcomes) -> None:
    reason, message = outcomes["diverging"]["error"]
    assert reason == "GuardFired"
    assert "the loss is nan" in message
