"""`evaluation.json`: what held-out questions say of a model, before and after. Written by every engine alike."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from poise.data.questions import Question, is_correct

FILE = "evaluation.json"
_SAMPLES = 8


@dataclass(frozen=True)
class Measured:
    """Attributes:
    answers: the greedy completion of each question.
    logprob: mean log-probability of a token of the reference completions, in nats; NaN without references.
    """

    answers: tuple[str, ...]
    accuracy: float
    logprob: float

    def as_json(self) -> dict[str, float | None]:
        return {"accuracy": self.accuracy, "logprob": self.logprob if math.isfinite(self.logprob) else None}


def accuracy(answers: Sequence[str], asked: Sequence[Question]) -> float:
    """The share of answers that are right."""
    right = sum(is_correct(answer, question.answer) for answer, question in zip(answers, asked, strict=True))
    return right / len(asked)


def write_evaluation(output: Path, asked: Sequence[Question], before: Measured | None, after: Measured) -> None:
    """Write `evaluation.json` into the folder `output`."""
    samples = [
        {
            "prompt": question.text,
            "answer": question.answer,
            "before": before.answers[index] if before else None,
            "after": after.answers[index],
        }
        for index, question in enumerate(asked[:_SAMPLES])
    ]
    document = {
        "schema_version": 1,
        "rows": len(asked),
        "before": before.as_json() if before else None,
        "after": after.as_json(),
        "samples": samples,
    }
    (output / FILE).write_text(json.dumps(document, indent=1, ensure_ascii=False))
