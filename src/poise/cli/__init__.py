"""The command line: every verb of `poise.client`, with help, tables and exit codes, and no logic of its own."""

from __future__ import annotations

import json
import sys

import typer

from poise.cli import machine, models, runs, serve
from poise.errors import PoiseError

app = typer.Typer(
    name="poise",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    add_completion=True,
    pretty_exceptions_enable=False,
    help="""Finish language models on your own machines: train, merge, quantize, serve.

    A first session:

        poise doctor                 # what this machine lacks
        poise env sync               # make the environments
        poise run examples/sft.yaml  # train; Ctrl-C keeps a checkpoint
        poise models                 # what was published
        poise serve sums             # OpenAI's API on this machine
        poise chat sums "7 + 5 ="    # ask it

    Files and results stand below `.poise/` here, or below `$POISE_HOME`. What prints data takes `--json`.
    Exit codes: 0 done, 2 wrong usage, 64 bad file or name, 65 bad data, 70 our fault, 75 try again, 76 a guard fired.
    """,
)

for module in (runs, models, serve, machine):
    module.register(app)


def main() -> None:
    """The entry point `poise`: runs a command and turns what it raises into words and an exit code."""
    try:
        app(prog_name="poise")
    except PoiseError as error:
        if "--json" in sys.argv:
            details = {"reason": error.reason, "message": error.message, "advice": error.advice}
            print(json.dumps({"error": details, "exit_code": error.exit_code}))
        else:
            print(f"poise: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
