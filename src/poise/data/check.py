"""Data that is on this machine is read before a worker is started, so that a bad row is told of at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from poise.data.formats import conversations, prompts
from poise.data.questions import questions
from poise.data.rows import read_rows
from poise.specs import MethodSpec

# What can be read in a moment; larger data is left to the worker, which reads it anyway.
LARGEST = 32 * 2**20


def check_data(spec: MethodSpec, local: Mapping[str, Path]) -> None:
    """Raise `DataError` for the first row that the method could not use.

    Args:
        local: the local file or folder of those inputs that have one, by input name.
    """
    if spec.data is None:
        return
    readers = {
        "train": prompts if spec.method == "grpo" else conversations,
        "calibration": conversations,
        "eval": questions,
    }
    for name, reader in readers.items():
        path = local.get(f"data.{name}")
        reference = getattr(spec.data, name, None)
        if path is not None and reference is not None and _size(path) <= LARGEST and _is_text(path):
            reader(read_rows(path, reference, spec.data.columns))


def _size(path: Path) -> int:
    return (
        path.stat().st_size
        if path.is_file()
        else sum(item.stat().st_size for item in path.rglob("*") if item.is_file())
    )


def _is_text(path: Path) -> bool:
    """Whether it can be read without the libraries of the workers' environments."""
    files = [path] if path.is_file() else [item for item in path.rglob("*") if item.is_file()]
    return not any(item.suffix in {".parquet", ".arrow"} for item in files)
