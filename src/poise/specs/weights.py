"""The methods that make weights: `merge` and `quantize`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from poise.specs.base import Count, ReferenceText, Spec
from poise.specs.training import Publish, Resources


class EvalData(Spec):
    """Held-out rows for the result."""

    eval: ReferenceText = Field(description="Held-out rows: the result is asked them.")
    columns: dict[str, str] = Field({}, description="Standard column name -> the name it has in this data.")


class CalibrationData(Spec):
    """Rows that show the quantizer what the model usually reads, and held-out rows for the result."""

    calibration: ReferenceText | None = Field(
        None, description="Rows to calibrate on; absent: what the base was trained on."
    )
    eval: ReferenceText | None = Field(None, description="Held-out rows: the result is asked them.")
    columns: dict[str, str] = Field({}, description="Standard column name -> the name it has in this data.")


class MergeSpec(Spec):
    """Fold an adapter into its base: full weights in 16 or 32 bits."""

    method: Literal["merge"]
    base: ReferenceText = Field(description="The adapter to merge; its own base is known from its manifest.")
    dtype: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto", description="Number format of the merged weights; auto keeps the base's."
    )
    data: EvalData | None = Field(None, description="Held-out rows.")
    resources: Resources = Field(Resources(), description="What one worker needs.")
    publish: Publish | None = Field(None, description="Publish the artifact once its checks hold.")


class QuantizeOptions(Spec):
    """Options of 4-bit quantization."""

    format: Literal["gptq", "awq"] = Field(
        description="GPTQ (arXiv 2210.17323) or AWQ (arXiv 2306.00978); vLLM loads both."
    )
    bits: Literal[4] = Field(4, description="Bits a weight; vLLM serves 4.")
    group_size: Literal[32, 64, 128] = Field(128, description="Weights that share one scale.")
    samples: Annotated[int, Field(ge=8)] = Field(128, description="Calibration rows.")
    max_length: Count = Field(512, description="Tokens of a calibration row.")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(42, description="Seed of the choice of rows.")


class QuantizeSpec(Spec):
    """Quantize full weights to 4 bits."""

    method: Literal["quantize"]
    base: ReferenceText = Field(description="Full weights: a merged artifact or a base model.")
    options: QuantizeOptions = Field(description="Format and calibration.")
    data: CalibrationData = Field(CalibrationData(), description="Calibration and held-out rows.")
    resources: Resources = Field(Resources(), description="What one worker needs.")
    publish: Publish | None = Field(None, description="Publish the artifact once its checks hold.")
