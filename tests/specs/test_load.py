"""What `poise validate` says of files that are wrong: the line, the field, and what was probably meant."""

from pathlib import Path

import pytest

from poise.errors import SpecError
from poise.specs import Pipeline, Run, load_file, loads

GRPO = """\
apiVersion: poise.dev/v1alpha1
kind: Run
metadata:
  name: arithmetic-grpo
spec:
  method: grpo
  base: hf:Qwen/Qwen2.5-0.5B-Instruct
  data:
    train: hf:openai/gsm8k?config=main&split=train[:90%]
    columns: {prompt: question, answer: answer}
  adapter: {rank: 8, alpha: 16, dropout: 0.05, targets: [q_proj, k_proj, v_proj, o_proj]}
  rewards:
    - {use: exact_number, weight: 1.0}
    - {use: brevity, weight: 0.2}
  options:
    learning_rate: 1e-5
    num_generations: 4
  trl: {epsilon: 0.1}
  resources: {gpus: 1, memory: 24Gi}
  publish: {model: arithmetic}
"""

PIPELINE = """\
apiVersion: poise.dev/v1alpha1
kind: Pipeline
metadata: {name: chain}
spec:
  steps:
    - name: tune
      spec:
        method: sft
        base: builtin:tiny
        adapter: {}
        data: {train: "builtin:sums?split=train"}
    - name: whole
      spec: {method: merge, base: "step:tune"}
"""


def test_a_good_file_is_read_with_defaults_filled_in() -> None:
    run = loads(GRPO)
    assert isinstance(run, Run)
    assert run.spec.method == "grpo"
    assert run.spec.options.learning_rate == 1e-5
    assert run.spec.options.temperature == 1.0
    assert run.metadata.namespace == "default"


def test_a_pipeline_is_read() -> None:
    pipeline = loads(PIPELINE)
    assert isinstance(pipeline, Pipeline)
    assert [step.name for step in pipeline.spec.steps] == ["tune", "whole"]


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        ("learning_rate:", "learning_rat:", 16, ["spec.options.learning_rat", "did you mean 'learning_rate'"]),
        ("1e-5", "fast", 16, ["spec.options.learning_rate", "number", "'fast'"]),
        ("1e-5", "-1", 16, ["spec.options.learning_rate", "greater than 0"]),
        ("method: grpo", "method: gpro", 6, ["no method is called 'gpro'", "did you mean 'grpo'"]),
        ("method: grpo", "methd: grpo", 5, ["spec.method", "is missing", "sft, grpo"]),
        ("rank: 8", "rank: 8.5", 11, ["spec.adapter.rank", "integer"]),
        ("rank: 8", "rank: true", 11, ["spec.adapter.rank", "integer"]),
        ("kind: Run", "kind: Runn", 2, ["there is no kind 'Runn'", "did you mean Run"]),
        ("kind: Run\n", "", 1, ["kind is missing"]),
        ("v1alpha1", "v2", 1, ["apiVersion", "poise.dev/v1alpha1"]),
        ("exact_number", "exact_nmber", 13, ["spec.rewards[0].use", "did you mean exact_number"]),
        ("{use: brevity,", "{use: brevity, pattern: x,", 14, ["spec.rewards[1].pattern", "no field of the reward"]),
        ("{use: brevity,", "{use: regex,", 14, ["spec.rewards[1].use", "needs pattern"]),
        ("{use: brevity,", "{use: regex, pattern: '(',", 14, ["spec.rewards[1].pattern", "no regular expression"]),
        ("{use: brevity,", "{use: json_schema, json_schema: {type: txt},", 14, ["spec.rewards[1].json_schema"]),
        ("hf:openai", "hff:openai", 9, ["spec.data.train", "did you mean hf:"]),
        ("?config=", "?confg=", 9, ["spec.data.train", "did you mean config"]),
        ("  base: hf:Qwen/Qwen2.5-0.5B-Instruct\n", "", 5, ["spec.base", "is missing"]),
        ("base:", "bse:", 5, ["spec.base: is missing", "'bse' a slip"]),
        ("num_generations: 4", "num_generations: 3", 17, ["spec.options.num_generations", "does not divide"]),
        ("name: arithmetic-grpo", "name: Arithmetic_grpo", 4, ["metadata.name", "a-z, 0-9"]),
        ("{epsilon: 0.1}", "{epsilom: 0.1}", 18, ["spec.trl.epsilom", "did you mean epsilon"]),
        ("{epsilon: 0.1}", "{epsilon: low}", 18, ["spec.trl.epsilon", "takes number, not string"]),
        ("{epsilon: 0.1}", "{learning_rate: 0.1}", 18, ["spec.trl.learning_rate", "options.learning_rate"]),
        ("{epsilon: 0.1}", "{max_seq_length: 9}", 18, ["spec.trl.max_seq_length", "options.max_length"]),
        ("{epsilon: 0.1}", "{output_dir: x}", 18, ["spec.trl.output_dir", "managed by Poise"]),
        ("24Gi", "lots", 19, ["spec.resources.memory", "24Gi"]),
        ("gpus: 1", "gpus: -1", 19, ["spec.resources.gpus", "greater than or equal to 0"]),
        ("base: hf:Qwen/Qwen2.5-0.5B-Instruct", "base: step:tune", 5, ["only a Pipeline has steps"]),
        ("base: hf:Qwen/Qwen2.5-0.5B-Instruct", "base: model:sums", 7, ["model:NAME@VERSION"]),
        ("base: hf:Qwen/Qwen2.5-0.5B-Instruct", "base: 7", 7, ["spec.base", "string"]),
        ("  method: grpo\n", "  method: grpo\n  method: sft\n", 7, ["'method' stands twice", "line 6"]),
        ("metadata:\n", "metadata:\n\t", 4, ["cannot be read as YAML"]),
        ("[q_proj, k_proj, v_proj, o_proj]", "[q_proj", 11, ["cannot be read as YAML"]),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_nearest_right_spelling(
    before: str, after: str, line: int, words: list[str]
) -> None:
    assert before in GRPO
    with pytest.raises(SpecError) as caught:
        loads(GRPO.replace(before, after, 1), "run.yaml")
    message = str(caught.value)
    assert f"run.yaml:{line}:" in message
    for word in words:
        assert word in message


def test_every_mistake_of_a_file_is_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        loads(GRPO.replace("rank: 8", "rank: x").replace("use: brevity", "use: brevty"), "run.yaml")
    assert "run.yaml:11: spec.adapter.rank" in str(caught.value)
    assert "run.yaml:14: spec.rewards[1].use" in str(caught.value)


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        ("step:tune", "step:tun", "the steps before it are: tune"),
        ("name: whole", "name: tune", "two steps are called 'tune'"),
        ("builtin:sums?split=train", "step:tune", "only base can be a step"),
        ("method: merge", "method: mege", "did you mean 'merge'"),
    ],
)
def test_a_pipeline_that_is_wired_wrongly_is_refused(before: str, after: str, words: str) -> None:
    with pytest.raises(SpecError, match=r"run\.yaml:") as caught:
        loads(PIPELINE.replace(before, after), "run.yaml")
    assert words in str(caught.value)


def test_overrides_are_applied_before_validation() -> None:
    run = loads(GRPO, overrides=("spec.options.learning_rate=2e-4", "spec.resources.gpus=0"))
    assert isinstance(run, Run)
    assert run.spec.options.learning_rate == 2e-4  # type: ignore[union-attr]
    assert run.spec.resources.gpus == 0


@pytest.mark.parametrize("override", ["spec.options", "spec.rewards.first.weight=1", "metadata.name.x=1"])
def test_an_override_that_fits_nowhere_is_refused(override: str) -> None:
    with pytest.raises(SpecError, match="--set"):
        loads(GRPO, overrides=(override,))


def test_an_override_of_a_misspelt_field_is_refused_as_in_the_file() -> None:
    with pytest.raises(SpecError, match="did you mean 'gpus'"):
        loads(GRPO, overrides=("spec.resources.gpu=0",))


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "sft.yaml").write_text(GRPO)
    with pytest.raises(SpecError, match=r"did you mean .*/sft.yaml"):
        load_file(tmp_path / "stf.yaml")


@pytest.mark.parametrize("content", [b"", b"---\n", b"# only a comment\n"])
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "run.yaml").write_bytes(content)
    with pytest.raises(SpecError, match="empty"):
        load_file(tmp_path / "run.yaml")


def test_a_binary_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpecError, match="UTF-8"):
        load_file(tmp_path / "run.yaml")
    with pytest.raises(SpecError, match="folder"):
        load_file(tmp_path)


def test_a_second_document_is_refused_with_its_line() -> None:
    with pytest.raises(SpecError, match=r"run.yaml:2\d: a second document"):
        loads(GRPO + "---\n" + GRPO, "run.yaml")
