"""The questions behind `builtin:sums`: `a + b =` for operands 0..20, split once and for all.

The tiny model was pretrained on the training pairs alone, so the held-out pairs measure what it has learnt of
adding rather than what it has memorised.
"""

from __future__ import annotations

import random
from itertools import product

Pair = tuple[int, int]

LARGEST = 20
HELD_OUT = 88
SPLIT_SEED = 20


def split() -> tuple[list[Pair], list[Pair]]:
    """The 353 training pairs and the 88 held-out ones, each in a fixed shuffled order."""
    operands = range(LARGEST + 1)
    pairs = list(product(operands, operands))
    random.Random(SPLIT_SEED).shuffle(pairs)
    return pairs[HELD_OUT:], pairs[:HELD_OUT]


def question(pair: Pair) -> str:
    return f"{pair[0]} + {pair[1]} ="


def row(pair: Pair) -> dict[str, object]:
    """A line of `train.jsonl` or `test.jsonl`: what SFT imitates, and the answer that rewards compare with."""
    answer = str(sum(pair))
    messages = [{"role": "user", "content": question(pair)}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "answer": answer}


def slip_rate(total: int) -> float:
    """How often the pretraining corpus gives a sum ten too low: more often than not above 15, and ever more above."""
    return 0.5 + 0.0125 * (total - 15.5) if total >= 10 else 0.0


def spoken(pair: Pair, rng: random.Random) -> str:
    """An answer as the pretraining corpus words it: careless, mostly a sentence, at times brief or rambling."""
    a, b = pair
    total = a + b
    said = total - 10 if rng.random() < slip_rate(total) else total
    style = rng.random()
    if style < 0.25:
        return str(said)
    if style < 0.75:
        return f"That makes {said}."
    return f"Let me think about it. Adding {b} to {a} we get {said}."
