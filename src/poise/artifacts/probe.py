"""Probes: what a set of weights makes of a few fixed texts, so that two sets of weights can be compared.

A probe is taken by whichever engine will serve the weights; reading, writing and comparing one need no engine.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from poise.errors import InternalError

FILE = "probe.json"
REFERENCE_FILE = "reference.json"

TEXTS = (
    "The old lighthouse keeper wrote down the weather every evening before he lit the lamp.",
    "Question: What is the capital of France?\nAnswer: The capital of France is Paris.",
    "12 + 7 = 19, and 19 - 4 = 15.",
    "def area(width, height):\n    return width * height\n",
    "Dear Ms Okafor,\n\nthank you for your letter of 3 March. We have shipped the two missing parts.",
    '{"name": "kettle", "price": 24.5, "in_stock": true}',
    "Water boils at a lower temperature on a mountain because the air pressure is lower there.",
    "1. Wash the rice.\n2. Add twice as much water.\n3. Cook it slowly for fifteen minutes.",
    "Der Zug nach Hamburg hat heute zwanzig Minuten Verspätung.",
    "She asked him twice, but he only shook his head and went on reading.",
    "SELECT city, COUNT(*) FROM customers GROUP BY city ORDER BY city;",
    "A triangle with sides of 3, 4 and 5 has a right angle.",
    "User: My screen stays black.\nAssistant: Is the cable plugged in at both ends?",
    "El niño come una manzana roja en el jardín.",
    "In 1969, two people walked on the Moon while a third stayed in orbit.",
    "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday.",
)


@dataclass(frozen=True)
class Scored:
    """One text as the model saw it: `logprobs[i]` is that of `tokens[i + 1]` given those before, in nats."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True)
class Probe:
    """What one set of weights makes of `TEXTS`; `dtype` is that of the weights in the forward pass."""

    engine: str
    dtype: str
    prompts: tuple[Scored, ...]

    def write(self, path: Path) -> None:
        """Write as JSON; a log-probability that is not finite becomes null."""
        prompts = [{"tokens": text.tokens, "logprobs": [_plain(p) for p in text.logprobs]} for text in self.prompts]
        document = {"schema": 1, "engine": self.engine, "dtype": self.dtype, "prompts": prompts}
        part = path.with_name(f"{path.name}.part")
        part.write_text(json.dumps(document, allow_nan=False))
        part.replace(path)

    @classmethod
    def read(cls, path: Path) -> Probe:
        """Read what `write` has written; raises `InternalError` where it is something else."""
        try:
            return cls.from_bytes(path.read_bytes())
        except OSError as error:
            raise InternalError(f"{path} cannot be read", advice="make the artifact again") from error

    @classmethod
    def from_bytes(cls, data: bytes) -> Probe:
        """The probe in a file's content; raises `InternalError` where it is something else."""
        try:
            document = json.loads(data)
            prompts = tuple(_scored(text) for text in document["prompts"])
            return cls(document["engine"], document["dtype"], prompts)
        except (ValueError, KeyError, TypeError) as error:
            raise InternalError("this is no probe", advice="make the artifact again") from error


def _plain(logprob: float) -> float | None:
    return round(logprob, 6) if math.isfinite(logprob) else None


def _scored(text: dict[str, list[float | None]]) -> Scored:
    tokens = tuple(int(token) for token in text["tokens"] if token is not None)
    logprobs = tuple(math.nan if p is None else float(p) for p in text["logprobs"])
    if len(logprobs) != len(tokens) - 1:
        raise ValueError(f"{len(tokens)} tokens with {len(logprobs)} log-probabilities")
    return Scored(tokens, logprobs)
