"""`poise serve chat keys`."""

from __future__ import annotations

import signal
import sys
from contextlib import ExitStack
from typing import Annotated

import typer

from poise.cli.show import AsJson, as_json, table

keys = typer.Typer(
    no_args_is_help=True,
    help="""API keys of the gateway. The store has their digests only: a key is shown once, when it is made.""",
)


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (serve, chat):
        app.command()(command)
    app.add_typer(keys, name="keys")


def serve(
    names: Annotated[list[str], typer.Argument(help="Models, aliases or versions (NAME@N).", show_default=False)],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    open_: Annotated[bool, typer.Option("--open", help="Answer without API keys.")] = False,
    json: AsJson = False,
) -> None:
    """Serve published models on this machine behind OpenAI's API, until Ctrl-C.

    Adapters of one base share one vLLM; each merged or quantized version has its own. The first time, an API key is
    made and printed once; `poise keys create` makes more.

        poise serve sums sums-gptq
    """
    from poise import environments
    from poise.artifacts import keys as api_keys
    from poise.client import Client
    from poise.serving.launch import Deployment, Options
    from poise.serving.plan import plan

    # Stopped by a service manager it ends in the same order as by Ctrl-C: the gateway first.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    client = Client()
    plans = plan([item for name in names for item in client.served(name)])
    home = client.settings.home
    python = environments.python("serve", home)
    options = Options(host, port, open_, gpu=environments.gpu_count() > 0)
    deployment = Deployment(home, python, client.store, plans, options, lambda line: _say(line, json))
    first = None if open_ or api_keys.list_keys(client.store) else api_keys.create_key(client.store, "first")
    with ExitStack() as started:
        # A key that nobody was shown is of no use, and would keep the next start from making one.
        unseen = started.enter_context(ExitStack())
        if first:
            unseen.callback(api_keys.revoke_key, client.store, first[0].id)
        started.enter_context(deployment)
        unseen.pop_all()
        _announce(names, deployment.url, str(deployment.folder), first and first[1], open_, json)
        deployment.watch()


def chat(
    model: Annotated[str, typer.Argument(help="Alias, version or base name.", show_default=False)],
    prompt: Annotated[str | None, typer.Argument(help="What to say; without it, a conversation begins.")] = None,
    url: Annotated[str, typer.Option(envvar="POISE_URL", help="The API's base URL.")] = "http://127.0.0.1:8000/v1",
    key: Annotated[str, typer.Option(envvar="POISE_API_KEY", help="API key.", show_envvar=True)] = "",
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest token.")] = 0.0,
    max_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 256,
) -> None:
    """Ask a served model; the answer is printed as it is made.

    poise chat sums "7 + 5 ="
    """
    from poise.chat import ask

    url = url.rstrip("/").removesuffix("/v1") + "/v1"
    messages: list[dict[str, str]] = []
    while True:
        said = prompt if prompt is not None else _read_line()
        if said is None:
            return
        messages.append({"role": "user", "content": said})
        answer = ""
        for piece in ask(url, key, model, messages, temperature=temperature, max_tokens=max_tokens):
            answer += piece
            print(piece, end="", flush=True)
        print()
        messages.append({"role": "assistant", "content": answer})
        if prompt is not None:
            return


@keys.command()
def create(
    name: Annotated[str, typer.Argument(help="Whose key it is, for your own overview.", show_default=False)],
    json: AsJson = False,
) -> None:
    """Make a key and print it, this once."""
    from poise.artifacts import keys as api_keys
    from poise.client import Client

    record, key = api_keys.create_key(Client().store, name)
    if json:
        as_json({"id": record.id, "name": record.name, "key": key})
    else:
        print(f"key {record.id} for {name}, shown this once:\n  {key}")


@keys.command("list")
def list_(json: AsJson = False) -> None:
    """List keys by id and name."""
    from poise.artifacts import keys as api_keys
    from poise.client import Client

    found = api_keys.list_keys(Client().store)
    if json:
        as_json([{"id": item.id, "name": item.name, "created": item.created.isoformat()} for item in found])
    else:
        rows = [(item.id, item.name, item.created.isoformat(timespec="seconds")) for item in found]
        table(("ID", "NAME", "CREATED"), rows, "no keys yet: `poise keys create NAME` makes one")


@keys.command()
def revoke(name: Annotated[str, typer.Argument(help="Id or name of a key.", show_default=False)]) -> None:
    """Revoke a key; running gateways follow within seconds."""
    from poise.artifacts import keys as api_keys
    from poise.client import Client

    for item in api_keys.revoke_key(Client().store, name):
        print(f"revoked {item.id} ({item.name})")


def _announce(names: list[str], url: str, logs: str, key: str | None, is_open: bool, json: bool) -> None:
    if json:
        as_json({"url": f"{url}/v1", "key": key, "models": names, "logs": logs})
    else:
        print(f"serving {', '.join(names)} at {url}/v1 (logs in {logs})")
        if key:
            print(f"API key, shown this once:\n  export POISE_API_KEY={key}")
        elif not is_open:
            print("it takes the keys there are; `poise keys create NAME` makes another")
    sys.stdout.flush()


def _say(line: str, quiet: bool) -> None:
    if not quiet:
        print(line, file=sys.stderr, flush=True)


def _read_line() -> str | None:
    try:
        return input("> " if sys.stdin.isatty() else "") or None
    except EOFError:
        return None
