"""Files much larger than the memory that a store may use for them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Server

MIB = 1024**2
MEMORY = 128 * MIB


@pytest.mark.parametrize(
    ("backend", "size"),
    [
        ("file", 256 * MIB),
        pytest.param("file", 1024 * MIB, marks=pytest.mark.slow),
        pytest.param("s3", 1024 * MIB, marks=pytest.mark.slow),
    ],
)
def test_a_large_file_travels_in_bounded_memory(
    backend: str,
    size: int,
    request: pytest.FixtureRequest,
    tmp_path: Path,
    reach: Callable[[Server], str],
    start_writer: Callable[..., subprocess.Popen[str]],
) -> None:
    url = str(tmp_path / "store") if backend == "file" else reach(request.getfixturevalue(backend))

    printed = start_writer("stream", url, size).communicate()[0]

    result = json.loads(printed.removeprefix("ready\n"))
    assert result["whole"] and result["size"] == result["sent"] == size
    assert result["grown"] < MEMORY
