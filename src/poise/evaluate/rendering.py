"""The renderer that trainers use: what they learn from are the ids that a server will see."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer

from poise.data import Renderer


def renderer(folder: Path) -> Renderer:
    """Renders with the tokenizer as Transformers reads it: for a few families not what `tokenizer.json` says."""
    return Renderer(folder, getattr(AutoTokenizer.from_pretrained(folder), "backend_tokenizer", None))
