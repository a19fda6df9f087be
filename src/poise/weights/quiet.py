"""Keeping a talkative library off the terminal without losing what it says."""

from __future__ import annotations

import contextlib
import io
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


class DividedOutput(io.TextIOBase):
    """Standard output for threads inside `aloud`; a log for all others, background threads of libraries among them."""

    def __init__(self, terminal: TextIO, log: TextIO) -> None:
        self._terminal = terminal
        self._log = log
        self._thread = threading.local()

    def write(self, text: str) -> int:
        return self._stream.write(text)

    def flush(self) -> None:
        self._stream.flush()

    @contextlib.contextmanager
    def aloud(self) -> Iterator[None]:
        """What this thread prints inside goes to the terminal."""
        self._thread.aloud = True
        try:
            yield
        finally:
            self._thread.aloud = False

    @property
    def _stream(self) -> TextIO:
        return self._terminal if getattr(self._thread, "aloud", False) else self._log


@contextlib.contextmanager
def output_kept_in(log: Path) -> Iterator[DividedOutput]:
    """Send standard output and error of a block to `log`."""
    # Never closed: the library's threads may write after the block.
    file = log.open("w", buffering=1)
    divided = DividedOutput(sys.stdout, file)
    with contextlib.redirect_stdout(divided), contextlib.redirect_stderr(file):
        yield divided
