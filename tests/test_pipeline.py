"""What a pipeline does next, as a table: no store, no processes."""

import pytest

from poise.pipeline import Finished, Progress, State, next_actions
from poise.specs import Pipeline, loads

TEXT = """\
apiVersion: poise.dev/v1alpha1
kind: Pipeline
metadata: {name: chain}
spec:
  steps:
    - name: tune
      spec: {method: sft, base: "builtin:tiny", adapter: {}, data: {train: "builtin:sums?split=train"}}
    - {name: whole, spec: {method: merge, base: "step:tune"}}
    - {name: gptq, spec: {method: quantize, base: "step:whole", options: {format: gptq}}}
    - {name: awq, spec: {method: quantize, base: "step:whole", options: {format: awq}}}
"""
A, B = "sha256-" + "a" * 64, "sha256-" + "b" * 64


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    resource = loads(TEXT)
    assert isinstance(resource, Pipeline)
    return resource


@pytest.mark.parametrize(
    ("artifacts", "others", "room", "expected"),
    [
        ({}, {}, 1, ["tune"]),
        ({}, {"tune": "running"}, 1, []),
        ({"tune": A}, {}, 1, ["whole"]),
        ({"tune": A, "whole": B}, {}, 1, ["gptq"]),
        ({"tune": A, "whole": B}, {}, 2, ["gptq", "awq"]),
        ({"tune": A, "whole": B}, {"gptq": "running"}, 1, ["awq"]),
        ({"tune": A, "whole": B}, {"gptq": "running"}, 0, []),
        ({"tune": A, "whole": B}, {"gptq": "failed"}, 1, ["awq"]),
    ],
)
def test_steps_start_when_what_they_need_is_there(
    pipeline: Pipeline, artifacts: dict[str, str], others: dict[str, Progress], room: int, expected: list[str]
) -> None:
    actions = next_actions(pipeline, State(artifacts, others), room)
    assert isinstance(actions, list)
    assert [action.step for action in actions] == expected


@pytest.mark.parametrize(
    ("artifacts", "others", "expected"),
    [
        ({"tune": A, "whole": B, "gptq": A, "awq": A}, {}, Finished((), ())),
        ({}, {"tune": "failed"}, Finished(("tune",), ("whole", "gptq", "awq"))),
        ({"tune": A, "whole": B, "awq": A}, {"gptq": "failed"}, Finished(("gptq",), ())),
    ],
)
def test_a_pipeline_ends_when_nothing_more_can_start(
    pipeline: Pipeline, artifacts: dict[str, str], others: dict[str, Progress], expected: Finished
) -> None:
    assert next_actions(pipeline, State(artifacts, others), 2) == expected


def test_a_step_becomes_a_run_with_the_artifact_it_is_made_from(pipeline: Pipeline) -> None:
    actions = next_actions(pipeline, State({"tune": A}, {}), 1)
    assert isinstance(actions, list)
    assert actions[0].run.metadata.name == "chain-whole"
    assert actions[0].run.spec.base == f"artifact:{A}"
