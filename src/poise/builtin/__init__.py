"""What ships inside the package, so that the first run needs no network: a tiny model and its sums.

`tiny` is a Llama model of 0.7 million weights that adds two numbers up to 20 rather badly; `sums` is a folder with
`train.jsonl` and `test.jsonl`. `python -m poise.builtin.make` makes both again.
"""

from __future__ import annotations

from pathlib import Path

from poise.errors import NotFound

NAMES = ("sums", "tiny")


def path(name: str) -> Path:
    """The folder of a builtin model or data set.

    Raises:
        NotFound: nothing of that name ships with Poise.
    """
    if name not in NAMES:
        raise NotFound(f"there is no builtin:{name}", advice=f"builtin are: {', '.join(NAMES)}")
    return Path(__file__).parent / name
