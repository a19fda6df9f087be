"""How the command line prints: tables for people, JSON for scripts, progress only on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Annotated, Any

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]


def as_json(value: Any) -> None:
    """One JSON document on stdout."""
    print(json.dumps(value, indent=2, ensure_ascii=False))


def table(columns: Iterable[str], rows: Iterable[Iterable[object]], empty: str) -> None:
    """A plain table; `empty` says what to do where there are no rows."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        shown.add_column(column, overflow="fold")
    count = 0
    for row in rows:
        shown.add_row(*("" if cell is None else str(cell) for cell in row))
        count += 1
    # Without a terminal there is no width to fit into, and a folded name could not be copied.
    console = Console() if sys.stdout.isatty() else Console(width=240)
    if count:
        console.print(shown)
    else:
        console.print(empty)


def figures(metrics: Mapping[str, float], names: Iterable[str]) -> str:
    """Those of `names` that there are, as `loss 0.123  kl 0.01`."""
    return "  ".join(f"{name.rpartition('/')[2]} {metrics[name]:.4g}" for name in names if name in metrics)


class RunProgress:
    """Shows what workers report: bars on a terminal, one line per stage elsewhere."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            self._bars = Progress(
                TextColumn("[bold]{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("{task.fields[note]}"),
                console=Console(stderr=True),
            )

    def live(self) -> AbstractContextManager[Any]:
        return self._bars if self._bars is not None else nullcontext()

    def __call__(self, run: str, event: dict[str, Any]) -> None:
        """Take one event of `poise.client`."""
        if self._quiet:
            return
        text = _words(event)
        if self._bars is None:
            if text:
                print(f"{run}: {text}", file=sys.stderr, flush=True)
            return
        if text:
            self._bars.console.print(f"[bold]{run}[/]: {text}", highlight=False)
        if event.get("event") == "progress":
            self._advance(run, event)

    def _advance(self, run: str, event: dict[str, Any]) -> None:
        if run not in self._tasks:
            self._tasks[run] = self._bars.add_task(run, total=None, note="")
        if "metrics" in event:
            note = figures(event["metrics"], ("loss", "reward/mean", "accuracy", "kl"))
            self._bars.update(self._tasks[run], completed=event["step"], total=event["steps"] or None, note=note)
        else:
            self._bars.update(self._tasks[run], completed=event["done"], total=event["of"], note=event["what"])


def _words(event: dict[str, Any]) -> str | None:
    match event.get("event"):
        case "submitted":
            return f"run {event['run']}"
        case "continued":
            return f"continuing run {event['run']}"
        case "stage":
            return f"worker started in environment {event['environment']}"
        case "retry":
            return f"worker ended with {event['code']}; attempt {event['attempt']} of {event['of']}"
        case "unchanged":
            return f"unchanged, made already: {event['artifact'][:19]}"
        case "refused":
            return str(event["message"])
    return None
