"""Digests: the one way in which Poise writes JSON that is hashed, and what a digest looks like."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any


def canonical(value: Any) -> bytes:
    """JSON with sorted keys and no spare space: the same bytes for the same value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest(data: bytes) -> str:
    """`sha256-` and 64 hexadecimal digits."""
    return f"sha256-{hashlib.sha256(data).hexdigest()}"


def file_digest(path: Path) -> str:
    """The digest of a file's content, read in pieces."""
    with path.open("rb") as file:
        return f"sha256-{hashlib.file_digest(file, 'sha256').hexdigest()}"


def tree_digest(path: Path) -> str:
    """The digest of a file, or of a folder's relative names and contents; hidden files and caches do not count."""
    if path.is_file():
        return file_digest(path)
    files = {
        name: file_digest(item)
        for item in path.rglob("*")
        if item.is_file() and not _hidden(name := item.relative_to(path).as_posix())
    }
    return digest(canonical(files))


def _hidden(name: str) -> bool:
    return any(part.startswith(".") or part == "__pycache__" for part in name.split("/"))
