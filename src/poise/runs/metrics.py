"""Metrics of a run: one record a step, in segments named by their first step, each step once also after a resume."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping

from poise.store import Store

FLUSHED_EVERY = 10.0
Record = dict[str, float]


class MetricsLog:
    """Collects records and stores them as `metrics/<first step>.jsonl`, at least every 10 seconds.

    `resume_step` is the step of the checkpoint a worker goes on from: records of later steps are dropped, since they
    are about to be made again.
    """

    def __init__(self, store: Store, run: str, resume_step: int) -> None:
        self._store = store
        self._prefix = f"runs/{run}/metrics"
        self._segment: list[tuple[int, bytes]] = []
        self._flushed = time.monotonic()
        self._drop_after(resume_step)

    def add(self, step: int, metrics: Mapping[str, float]) -> None:
        line = json.dumps({"step": step, **metrics}, separators=(",", ":")).encode() + b"\n"
        self._segment.append((step, line))
        if time.monotonic() - self._flushed > FLUSHED_EVERY:
            self.flush()

    def flush(self) -> None:
        """Store what has been collected and begin a new segment."""
        self._flushed = time.monotonic()
        if self._segment:
            self._store.put(
                f"{self._prefix}/{self._segment[0][0]:08d}.jsonl", b"".join(line for _, line in self._segment)
            )
            self._segment = []

    def _drop_after(self, step: int) -> None:
        for entry in self._store.list(self._prefix):
            lines = self._store.get(entry.key).splitlines(keepends=True)
            kept = [line for line in lines if json.loads(line)["step"] <= step]
            if not kept:
                self._store.delete(entry.key)
            elif len(kept) < len(lines):
                self._store.put(entry.key, b"".join(kept))


def read_metrics(store: Store, run: str) -> list[Record]:
    """Every record of a run, by step."""
    lines = [
        line
        for entry in store.list(f"runs/{run}/metrics")
        for line in store.get(entry.key).splitlines()
        if line.strip()
    ]
    return sorted((json.loads(line) for line in lines), key=lambda record: record["step"])
