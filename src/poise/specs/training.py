"""The methods that train: `sft` and `grpo`. Field names are TRL's and PEFT's own wherever those have one."""

from __future__ import annotations

import re
from difflib import get_close_matches
from functools import partial
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from poise.specs.base import Count, FieldError, ModelName, Number, Positive, Quantity, ReferenceText, Spec
from poise.specs.trl import check_passthrough


class Data(Spec):
    """Where training and held-out rows come from."""

    train: ReferenceText = Field(description="The rows to train on.")
    eval: ReferenceText | None = Field(None, description="Held-out rows: measured before and after, never trained on.")
    columns: dict[str, str] = Field(
        {}, description="Standard column name -> the name it has in this data, as in {prompt: question}."
    )


class Adapter(Spec):
    """LoRA (arXiv 2106.09685): which low-rank matrices are trained."""

    rank: Annotated[int, Field(ge=1, le=1024)] = Field(16, description="Rank of the update matrices.")
    alpha: Positive = Field(32.0, description="Scale: the update is multiplied by alpha / rank.")
    dropout: Annotated[Number, Field(ge=0, lt=1)] = Field(0.0, description="Dropout on the adapter's input.")
    targets: list[str] | Literal["all-linear"] = Field(
        "all-linear", description="Names of the layers that get an adapter."
    )


class Load(Spec):
    """How the base model is put into memory."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="Number format of the forward pass; auto: bf16 where the GPU has it, else fp16, fp32 on a CPU.",
    )
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = Field(
        "auto", description="Attention implementation; auto takes the fastest that is installed."
    )


class Resources(Spec):
    """What one worker needs."""

    gpus: Annotated[int, Field(ge=0)] = Field(0, description="GPUs; 0 trains on the CPU.")
    memory: Quantity | None = Field(None, description="Main memory, for example 24Gi.")


class Publish(Spec):
    """What the finished artifact is published as, once its checks hold."""

    model: ModelName = Field(description="The model's name; versions are numbered from 1 and served as NAME@N.")


class TrainingOptions(Spec):
    """Options that every training method shares."""

    learning_rate: Positive = Field(description="Peak learning rate.")
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = Field(
        "linear", description="Shape of the learning rate over the run."
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(0, description="Optimizer steps of linear warm-up.")
    max_steps: Count | None = Field(None, description="Optimizer steps; given, it wins over num_train_epochs.")
    num_train_epochs: Positive = Field(1.0, description="Passes over the training rows.")
    per_device_train_batch_size: Count = Field(8, description="Rows in one forward pass on one device.")
    gradient_accumulation_steps: Count = Field(1, description="Forward passes in one optimizer step.")
    weight_decay: Annotated[Number, Field(ge=0)] = Field(0.0, description="AdamW's weight decay.")
    max_grad_norm: Annotated[Number, Field(ge=0)] = Field(1.0, description="Gradients are clipped to this norm.")
    gradient_checkpointing: bool = Field(False, description="Recompute activations: less memory, more time.")
    save_steps: Count = Field(100, description="Optimizer steps between two checkpoints.")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(42, description="Seed of everything random.")


class SftOptions(TrainingOptions):
    """Options of supervised fine-tuning."""

    learning_rate: Positive = Field(2e-4, description="Peak learning rate.")
    max_length: Count = Field(1024, description="Tokens; longer rows are cut.")
    packing: bool = Field(False, description="Join short rows into full sequences.")
    completion_only: bool = Field(True, description="Learn only what the assistant says, not the prompt.")


class GrpoOptions(TrainingOptions):
    """Options of group-relative policy optimization (arXiv 2402.03300)."""

    learning_rate: Positive = Field(1e-5, description="Peak learning rate.")
    num_generations: Annotated[int, Field(ge=2)] = Field(8, description="Completions of one prompt, its group.")
    max_completion_length: Count = Field(256, description="Tokens; longer completions are cut off.")
    temperature: Positive = Field(1.0, description="Sampling temperature of the completions.")
    beta: Annotated[Number, Field(ge=0)] = Field(
        0.0, description="Weight of the KL penalty against the reference; 0 loads no reference."
    )
    loss_type: Literal["dapo", "dr_grpo", "grpo"] = Field("dapo", description="How token losses are averaged.")

    @model_validator(mode="after")
    def _whole_groups(self) -> GrpoOptions:
        batch = self.per_device_train_batch_size * self.gradient_accumulation_steps
        if batch % self.num_generations:
            raise FieldError(
                "num_generations",
                f"is {self.num_generations}, which does not divide per_device_train_batch_size x "
                f"gradient_accumulation_steps ({batch})",
            )
        return self


_REWARD_FIELDS = {
    "exact_number": {"column"},
    "choice": {"column", "choices"},
    "regex": {"pattern"},
    "json_schema": {"json_schema"},
    "brevity": {"length"},
}


class Reward(Spec):
    """One reward: from the library by name, or `FILE.py:FUNCTION` of your own."""

    use: str = Field(
        description="exact_number, choice, regex, json_schema, brevity, or FILE.py:FUNCTION with TRL's signature."
    )
    weight: Number = Field(1.0, description="Factor in the sum of rewards.")
    column: str | None = Field(None, description="Column with the right answer (exact_number, choice): answer.")
    choices: list[str] | None = Field(None, description="Allowed answers (choice).")
    pattern: str | None = Field(None, description="Regular expression the completion must match (regex).")
    json_schema: dict[str, Any] | None = Field(None, description="Schema the completion must satisfy (json_schema).")
    length: Count | None = Field(
        None, description="Characters up to which a completion earns the whole reward (brevity): 16."
    )

    @property
    def file(self) -> tuple[str, str] | None:
        """The path and the function's name, where `use` names the user's own file."""
        path, colon, function = self.use.rpartition(":")
        return (path, function) if colon and path.endswith(".py") else None

    @model_validator(mode="after")
    def _fields_of_its_kind(self) -> Reward:
        given = {name for name in self.model_fields_set if name not in {"use", "weight"}}
        if self.file is None and self.use not in _REWARD_FIELDS:
            near = get_close_matches(self.use, _REWARD_FIELDS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(_REWARD_FIELDS)}, or FILE.py:FUNCTION"
            raise FieldError("use", f"no reward is called {self.use!r}; {hint}")
        allowed = _REWARD_FIELDS.get(self.use, set())
        if extra := sorted(given - allowed):
            raise FieldError(extra[0], f"is no field of the reward {self.use}")
        needed = {"regex": "pattern", "json_schema": "json_schema", "choice": "choices"}.get(self.use)
        if needed and needed not in given:
            raise FieldError("use", f"the reward {self.use} needs {needed} beside it")
        _check_pattern(self.pattern)
        _check_schema(self.json_schema)
        return self


def _check_pattern(pattern: str | None) -> None:
    try:
        re.compile(pattern or "")
    except re.error as error:
        raise FieldError("pattern", f"is no regular expression: {error}") from error


def _check_schema(schema: dict[str, Any] | None) -> None:
    if schema is None:
        return
    from jsonschema import Draft202012Validator, SchemaError  # only where a file has a schema: it is slow to import

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise FieldError("json_schema", f"is no JSON Schema: {error.message}") from error


class TrainingSpec(Spec):
    """What every training method takes."""

    base: ReferenceText = Field(description="The model to start from; an adapter is continued.")
    data: Data = Field(description="Training and held-out rows.")
    adapter: Adapter | None = Field(
        None, description="LoRA settings; required, but absent where base is an adapter already."
    )
    load: Load = Field(Load(), description="How the base is put into memory.")
    resources: Resources = Field(Resources(), description="What one worker needs.")
    publish: Publish | None = Field(None, description="Publish the artifact once its checks hold.")


TRL_DESCRIPTION = "Any other field of TRL's config class, checked by name and type."


class SftSpec(TrainingSpec):
    """Supervised fine-tuning on conversations or prompt and completion."""

    method: Literal["sft"]
    options: SftOptions = Field(SftOptions(), description="How to train.")
    trl: Annotated[dict[str, Any], AfterValidator(partial(check_passthrough, "SFTConfig"))] = Field(
        {}, description=TRL_DESCRIPTION
    )


class GrpoSpec(TrainingSpec):
    """Group-relative policy optimization against rewards."""

    method: Literal["grpo"]
    rewards: Annotated[list[Reward], Field(min_length=1)] = Field(
        description="What a completion is rewarded for; the weighted sum counts."
    )
    options: GrpoOptions = Field(GrpoOptions(), description="How to train.")
    trl: Annotated[dict[str, Any], AfterValidator(partial(check_passthrough, "GRPOConfig"))] = Field(
        {}, description=TRL_DESCRIPTION
    )
