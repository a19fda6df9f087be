"""Parity: do new weights answer as what they were made from? A pure function over two probes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from poise.artifacts.probe import Probe
from poise.errors import InternalError

QUANTIZED_LIMIT = 0.1
HALF_PRECISION_LIMIT = 0.02
SINGLE_PRECISION_LIMIT = 1e-3


@dataclass(frozen=True)
class Parity:
    """How far two probes are apart, in nats a token.

    Attributes:
        mean: mean absolute difference; NaN where any log-probability is not finite.
        worst: the largest difference at one token; NaN likewise.
        tokens: how many log-probabilities were compared.
        limit: the largest mean that passes.
    """

    mean: float
    worst: float
    tokens: int
    limit: float
    ok: bool

    def describe(self) -> str:
        """One sentence with the numbers."""
        if not math.isfinite(self.mean):
            return f"some of the {self.tokens} log-probabilities are not finite numbers: refused"
        verdict = "passed" if self.ok else "refused"
        return (
            f"log-probabilities differ by {self.mean:.2g} nats a token on average "
            f"({self.worst:.2g} at worst, {self.tokens} tokens), the limit is {self.limit:g}: {verdict}"
        )


def limit_for(quantization: str | None, dtype: str) -> float:
    """The largest mean difference that may be published, for weights of `dtype` (`float32`, `bfloat16`, ...)."""
    if quantization is not None:
        return QUANTIZED_LIMIT
    return SINGLE_PRECISION_LIMIT if dtype == "float32" else HALF_PRECISION_LIMIT


def compare(reference: Probe, candidate: Probe, limit: float) -> Parity:
    """Compare two probes of the same texts.

    Raises:
        InternalError: they were taken on different token ids, so nothing can be said.
    """
    ours = [text.tokens for text in reference.prompts]
    theirs = [text.tokens for text in candidate.prompts]
    if not ours or ours != theirs:
        raise InternalError(
            "the two probes were taken on different token ids",
            advice="make both artifacts again from one base, so that they share its tokenizer",
        )
    pairs = zip(_logprobs(reference), _logprobs(candidate), strict=True)
    differences = [abs(before - after) for before, after in pairs]
    if not all(math.isfinite(difference) for difference in differences):
        return Parity(math.nan, math.nan, len(differences), limit, ok=False)
    mean = math.fsum(differences) / len(differences)
    return Parity(mean, max(differences), len(differences), limit, ok=mean <= limit)


def _logprobs(probe: Probe) -> list[float]:
    return [logprob for text in probe.prompts for logprob in text.logprobs]
