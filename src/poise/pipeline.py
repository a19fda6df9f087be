"""What a pipeline does next: a pure function of the pipeline and of what has happened so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from poise.specs import MethodSpec, Pipeline, Reference, Run, Step, references

Progress = Literal["running", "failed"]


@dataclass(frozen=True)
class Start:
    """Start this step as `run`, in which every `step:NAME` has become that step's artifact."""

    step: str
    run: Run


@dataclass(frozen=True)
class Finished:
    """Nothing is left to do. `failed` are the steps that failed, `skipped` those that needed one of them."""

    failed: tuple[str, ...]
    skipped: tuple[str, ...]


@dataclass(frozen=True)
class State:
    """What has happened: artifact ids of finished steps, and the steps that run or have failed."""

    artifacts: Mapping[str, str]
    others: Mapping[str, Progress]


def next_actions(pipeline: Pipeline, state: State, room: int) -> list[Start] | Finished:
    """The steps to start now, at most `room` of them in the order of the file; empty while others run."""
    unstarted = [step for step in pipeline.spec.steps if step.name not in state.artifacts.keys() | state.others.keys()]
    ready = [step for step in unstarted if needs(step) <= state.artifacts.keys()]
    running = [name for name, outcome in state.others.items() if outcome == "running"]
    if not ready and not running:
        failed = tuple(name for name, outcome in state.others.items() if outcome == "failed")
        return Finished(failed, tuple(step.name for step in unstarted))
    return [Start(step.name, as_run(pipeline, step, state.artifacts)) for step in ready[: max(room, 0)]]


def needs(step: Step) -> set[str]:
    """The steps that `step` is made from."""
    parsed = [Reference.parse(text) for text in references(step.spec).values()]
    return {reference.target for reference in parsed if reference.scheme == "step"}


def as_run(pipeline: Pipeline, step: Step, artifacts: Mapping[str, str]) -> Run:
    """The `Run` that a step is, named `<pipeline>-<step>`."""
    metadata = pipeline.metadata.model_copy(update={"name": f"{pipeline.metadata.name}-{step.name}"})
    return Run(api_version=pipeline.api_version, kind="Run", metadata=metadata, spec=_wired(step.spec, artifacts))


def _wired(spec: MethodSpec, artifacts: Mapping[str, str]) -> MethodSpec:
    reference = Reference.parse(spec.base)
    if reference.scheme != "step":
        return spec
    return spec.model_copy(update={"base": f"artifact:{artifacts[reference.target]}"})
