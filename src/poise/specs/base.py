"""What all specs share: strictness, and the types of single fields."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError

from poise.specs.reference import Reference


def FieldError(key: str, message: str) -> PydanticCustomError:
    """What a validator of a whole model raises about one of its fields, so that the error names that field's line."""
    return PydanticCustomError("field_error", "{message}", {"key": key, "message": message})


class Spec(BaseModel):
    """Strict on what a user writes: an unknown key and a wrong type are errors, and a null is an absent key."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=False)


class CamelSpec(Spec):
    """A part of the file whose keys are Kubernetes' own and therefore in camel case."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True)


def _reference(text: str) -> str:
    Reference.parse(text)
    return text


def _whole_number(value: Any) -> Any:
    # kubectl's JSON writes 1.0 and 1 alike for a float field, and YAML readers differ on `1.`; ints need no such help.
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _quantity(text: str) -> str:
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?", text):
        raise ValueError(f"{text!r} is no quantity; write for example 24Gi")
    return text


MAX_NAME = 52  # what Kubernetes leaves of a label's 63 once a Job's pods have their suffix
ReferenceText = Annotated[str, AfterValidator(_reference)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=MAX_NAME, min_length=1)]
ModelName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9._]*[a-z0-9])?$", max_length=MAX_NAME, min_length=1)
]
Quantity = Annotated[str, AfterValidator(_quantity)]
Number = Annotated[float, BeforeValidator(_whole_number)]
Positive = Annotated[Number, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
