"""`poise run validate schema runs status logs cancel`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from poise.cli.show import AsJson, RunProgress, as_json, figures, table

if TYPE_CHECKING:
    from poise.client import Outcome
    from poise.runs.record import Status

File = Annotated[Path, typer.Argument(help="A file with a Run or a Pipeline.", show_default=False)]
RunName = Annotated[str, typer.Argument(help="A run's name (its newest run) or id.", show_default=False)]
Set = Annotated[
    list[str],
    typer.Option("--set", metavar="FIELD=VALUE", help="Set a field of the file, as in spec.options.max_steps=10."),
]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (run, validate, schema, runs, status, logs, cancel):
        app.command()(command)


def run(
    file: File,
    set_: Set = [],  # noqa: B006 (typer reads the default, nobody writes to it)
    parallel: Annotated[int, typer.Option(min=1, help="Steps of a pipeline to run side by side.")] = 1,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Go on in the background.")] = False,
    json: AsJson = False,
) -> None:
    """Run a file on this machine, to its end.

    Ctrl-C makes the worker save a checkpoint and stop (exit code 75); the same command then goes on from there.
    Unchanged steps of a pipeline are not run again.

        poise run examples/grpo.yaml --set spec.options.max_steps=20
    """
    from poise.client import Client

    if detach:
        _detach(file, set_, parallel, json)
        return
    progress = RunProgress(quiet=json)
    with progress.live():
        outcomes = Client().run(file, tuple(set_), progress, parallel)
    if json:
        as_json([_outcome(outcome) for outcome in outcomes])
    else:
        _print_outcomes(outcomes)
        _print_aliases(outcomes)
    # Where several steps ended badly, what must be mended comes before what may be tried again.
    codes = {_exit_code(outcome.status) for outcome in outcomes}
    sys.exit(next((code for code in (70, 64, 65, 76, 75, 130) if code in codes), 0))


def validate(
    file: File,
    set_: Set = [],  # noqa: B006
    json: AsJson = False,
) -> None:
    """Check a file without running anything: every mistake in it with its line, and the local data it names."""
    from poise.client import Client
    from poise.specs import load_file

    loaded = load_file(file, tuple(set_))
    Client().check(loaded)
    resource = loaded.resource
    if json:
        as_json({"valid": True, "kind": resource.kind, "name": resource.metadata.name})
    else:
        print(f"{file}: a valid {resource.kind} called {resource.metadata.name}")


def schema() -> None:
    """Print the JSON Schema of the files, for your editor.

        poise schema > poise.schema.json

    Then begin a file with `# yaml-language-server: $schema=poise.schema.json`.
    """
    from poise.specs import json_schema

    as_json(json_schema())


def runs(json: AsJson = False) -> None:
    """List all runs, oldest first."""
    from poise.client import Client

    found = Client().runs()
    if json:
        as_json([_status(run, status) for run, status in found])
        return
    rows = [
        (
            run, status.phase, f"{status.step}/{status.steps}" if status.steps else "",
            figures(status.metrics, ("loss", "reward/mean")), status.published, status.updated and status.updated[:19],
        )
        for run, status in found
    ]  # fmt: skip
    table(("RUN", "PHASE", "STEP", "METRICS", "PUBLISHED", "UPDATED"), rows, "no runs yet: `poise run FILE` makes one")


def status(name: RunName, json: AsJson = False) -> None:
    """Show how a run stands: phase, step, newest metrics, and the reason where it failed."""
    from poise.client import Client

    run, found = Client().status(name)
    if json:
        as_json(_status(run, found))
        return
    shown = {
        "run": run, "phase": found.phase, "step": f"{found.step} of {found.steps}" if found.steps else None,
        "attempts": found.attempts, "artifact": found.artifact, "published": found.published,
        "parity": found.parity and found.parity["description"], "reason": found.reason, "message": found.message,
        "started": found.started, "finished": found.finished,
    }  # fmt: skip
    metrics = {name: f"{value:.5g}" for name, value in found.metrics.items() if not name.startswith("trl/")}
    table(("", ""), [(key, value) for key, value in {**shown, **metrics}.items() if value is not None], "")


def logs(
    name: RunName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the log grows, until the run ends.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="Also the lines that carry progress as JSON.")] = False,
) -> None:
    """Print a run's log."""
    from poise.client import Client

    client = Client()
    path = client.log_path(name)
    with path.open(encoding="utf-8", errors="replace") as log:
        while True:
            ended = client.status(name)[1].phase not in {"Pending", "Running"}
            for line in log:
                if all_ or not line.startswith("POISE "):
                    sys.stdout.write(line)
            sys.stdout.flush()
            if not follow or ended:
                return
            time.sleep(0.5)


def cancel(name: RunName, json: AsJson = False) -> None:
    """Stop a run for good. Its checkpoints stay, its name is free again."""
    from poise.client import Client

    run, found = Client().cancel(name)
    if json:
        as_json(_status(run, found))
    elif found.phase == "Cancelled":
        print(f"{run} is cancelled")
    elif found.is_finished:
        print(f"{run} had ended already: {found.phase}")
    else:
        print(f"{run} has been asked to stop")


def _detach(file: Path, overrides: list[str], parallel: int, json: bool) -> None:
    """Validate here, where a mistake is still seen; then run the same command in a session of its own."""
    import subprocess

    from poise.client import Client
    from poise.specs import Run, load_file

    client, loaded = Client(), load_file(file, tuple(overrides))
    client.check(loaded)
    resource = loaded.resource
    if isinstance(resource, Run):
        client.resolve(resource, loaded)
    log = client.settings.home / "logs" / f"{resource.metadata.name}.out"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "poise.cli", "run", str(file), "--parallel", str(parallel)]
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, *(f"--set={override}" for override in overrides)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    if json:
        as_json({"pid": process.pid, "output": str(log)})
    else:
        print(f"running in the background (process {process.pid}); `poise runs` shows it, its output is in {log}")


def _exit_code(status: Status) -> int:
    from poise.errors import exit_codes

    phases = {"Succeeded": 0, "Interrupted": 75, "Cancelled": 130}
    if status.phase in phases:
        return phases[status.phase]
    # A step that was skipped adds nothing to what is said of the one that failed.
    return 0 if status.reason == "Skipped" else exit_codes().get(status.reason or "", 70)


def _status(run: str, status: Status) -> dict[str, Any]:
    return {"run": run, **status.model_dump(mode="json")}


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {"name": outcome.name, "skipped": outcome.skipped, **_status(outcome.run or "", outcome.status)}


def _print_outcomes(outcomes: list[Outcome]) -> None:
    for outcome in outcomes:
        found = outcome.status
        made = f" -> {found.published or (found.artifact or '')[:19]}" if found.phase == "Succeeded" else ""
        how = "unchanged" if outcome.skipped else found.phase
        print(f"{outcome.name}: {how}{made}")
        if found.message and found.phase != "Succeeded":
            print(f"  {found.message}", file=sys.stderr)


def _print_aliases(outcomes: list[Outcome]) -> None:
    """Say of each new version that the alias of its name still means another one."""
    from poise.client import Client

    published = [outcome.status.published for outcome in outcomes if outcome.status.published]
    known = Client().aliases() if published else {}
    for version in published:
        name = version.partition("@")[0]
        means = [target.version for target in known[name].targets] if name in known else [version]
        if version not in means:
            print(f"`{name}` still means {', '.join(means)}: `poise promote {name} {version}` moves it")
