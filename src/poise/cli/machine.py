"""`poise env doctor`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from poise.cli.show import AsJson, as_json, table

env = typer.Typer(
    no_args_is_help=True,
    help="""The Python environments that workers and servers run in, made from lock files.

    `train` trains and merges, `quantize` quantizes, `serve` is vLLM. They stand below `.poise/envs`.
    """,
)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    app.add_typer(env, name="env")
    app.command()(doctor)


@env.command()
def sync(
    names: Annotated[list[str] | None, typer.Argument(help="train, quantize, serve; all of them by default.")] = None,
    variant: Annotated[str | None, typer.Option(help="cpu or cuda; by default whether this machine has a GPU.")] = None,
    json: AsJson = False,
) -> None:
    """Make environments that are missing or out of date; those that are neither take milliseconds."""
    from poise import environments
    from poise.settings import Settings

    wanted = names or list(environments.ENVIRONMENTS)

    def on_line(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    settings = Settings.from_environment()
    made = environments.sync(settings.home, wanted, variant=variant, find_links=settings.find_links, on_line=on_line)
    if json:
        as_json({name: str(path) for name, path in made.items()})
    else:
        for name, path in made.items():
            print(f"{name}: {path}")


def doctor(json: AsJson = False) -> None:
    """Say what this machine lacks and how to get it. Exit code 64 where something needed is missing."""
    from poise import doctor as checkup
    from poise.settings import Settings

    checks = checkup.checks(Settings.from_environment().home)
    if json:
        as_json([{"name": c.name, "ok": c.ok, "detail": c.detail, "fix": c.fix} for c in checks])
    else:
        rows = [("ok" if c.ok else "MISSING", c.name, c.detail, "" if c.ok else c.fix) for c in checks]
        table(("", "CHECK", "FOUND", "TO MEND IT"), rows, "")
    sys.exit(0 if all(c.ok for c in checks) else 64)
