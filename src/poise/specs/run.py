"""The two resources a user writes: `Run` and `Pipeline`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from poise.specs.base import MAX_NAME, CamelSpec, FieldError, Name, Spec
from poise.specs.reference import Reference
from poise.specs.training import GrpoSpec, SftSpec
from poise.specs.weights import MergeSpec, QuantizeSpec

API_VERSION = "poise.dev/v1alpha1"

MethodSpec = Annotated[SftSpec | GrpoSpec | MergeSpec | QuantizeSpec, Field(discriminator="method")]


class Metadata(Spec):
    """What the resource is called."""

    name: Name = Field(description="Lower-case letters, digits and dashes; at most 52.")
    namespace: Name = Field("default", description="Kubernetes namespace; part of the run's id.")
    labels: dict[str, str] = Field({}, description="Labels, kept as they are.")
    annotations: dict[str, str] = Field({}, description="Annotations, kept as they are.")


class Run(CamelSpec):
    """One piece of work: train, merge or quantize."""

    api_version: Literal["poise.dev/v1alpha1"]
    kind: Literal["Run"]
    metadata: Metadata = Field(description="Name and, as in Kubernetes, namespace, labels and annotations.")
    spec: MethodSpec = Field(description="What to do; `method` decides which fields there are.")

    @model_validator(mode="after")
    def _no_steps(self) -> Run:
        for field, text in references(self.spec).items():
            if Reference.parse(text).scheme == "step":
                raise FieldError("spec", f"{field} is {text!r}, but only a Pipeline has steps")
        return self


class Step(Spec):
    """A named step: what a Run has under `spec`, in which `step:NAME` stands for an earlier step's artifact."""

    name: Name = Field(description="What later steps call it by.")
    spec: MethodSpec = Field(description="As in a Run.")


class PipelineSpec(Spec):
    """The steps, in the order they are written."""

    steps: Annotated[list[Step], Field(min_length=1)] = Field(description="Named steps, each a Run's spec.")

    @model_validator(mode="after")
    def _wired(self) -> PipelineSpec:
        known: list[str] = []
        for step in self.steps:
            if step.name in known:
                raise ValueError(f"two steps are called {step.name!r}")
            for field, text in references(step.spec).items():
                reference = Reference.parse(text)
                if reference.scheme == "step" and field != "base":
                    raise ValueError(f"step {step.name!r}: {field} is {text!r}, but only base can be a step")
                if reference.scheme == "step" and reference.target not in known:
                    have = ", ".join(known) or "none"
                    raise ValueError(f"step {step.name!r}: {field} is {text!r}, but the steps before it are: {have}")
            known.append(step.name)
        return self


class Pipeline(CamelSpec):
    """Several runs, each from what the ones before it have made."""

    api_version: Literal["poise.dev/v1alpha1"]
    kind: Literal["Pipeline"]
    metadata: Metadata = Field(description="Name and, as in Kubernetes, namespace, labels and annotations.")
    spec: PipelineSpec = Field(description="The steps.")

    @model_validator(mode="after")
    def _names_fit(self) -> Pipeline:
        for step in self.spec.steps:
            if len(name := f"{self.metadata.name}-{step.name}") > MAX_NAME:
                raise ValueError(
                    f"step {step.name!r} would run as {name!r}, which is longer than {MAX_NAME} characters"
                )
        return self


def references(spec: SftSpec | GrpoSpec | MergeSpec | QuantizeSpec) -> dict[str, str]:
    """Every reference of a spec by the name its content has in `Task.inputs`."""
    found = {"base": spec.base}
    for field in ("train", "calibration", "eval"):
        if text := getattr(spec.data, field, None):
            found[f"data.{field}"] = text
    for index, reward in enumerate(getattr(spec, "rewards", [])):
        if reward.file:
            found[f"rewards.{index}"] = reward.file[0]
    return found
