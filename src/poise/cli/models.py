"""`poise models promote rollback`."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from poise.cli.show import AsJson, as_json, table

if TYPE_CHECKING:
    from poise.artifacts.lineage import Origin

AliasName = Annotated[str, typer.Argument(help="The alias that clients ask for.", show_default=False)]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    for command in (models, promote, rollback):
        app.command()(command)


def models(
    version: Annotated[str | None, typer.Argument(help="Alias or NAME@N: show what it was made from.")] = None,
    json: AsJson = False,
) -> None:
    """List published versions, and which of them each alias means now; or show where one comes from.

    poise models sums-gptq@1
    """
    from poise.client import Client

    client = Client()
    if version is not None:
        version = client.served(version)[0].served_name
        _show_lineage(client.lineage(version), version, json)
        return
    found, aliases = client.models(), client.aliases()
    if json:
        as_json(
            {
                "versions": [
                    {"served_name": item.served_name, **item.version.model_dump(mode="json")} for item in found
                ],
                "aliases": {name: alias.model_dump(mode="json") for name, alias in aliases.items()},
            }
        )
        return
    meaning: dict[str, list[str]] = {}
    for name, alias in aliases.items():
        for target in alias.targets:
            meaning.setdefault(target.version, []).append(name)
    rows = [
        (
            item.served_name, item.version.kind, item.version.quantization, item.version.rank,
            ", ".join(meaning.get(item.served_name, [])), item.version.artifact[:19], item.version.created[:19],
        )
        for item in found
    ]  # fmt: skip
    table(
        ("VERSION", "KIND", "QUANTIZATION", "RANK", "ALIASES", "ARTIFACT", "CREATED"),
        rows,
        "nothing is published yet: give a run `publish: {model: NAME}`",
    )


def _show_lineage(origin: Origin, version: str, json: bool) -> None:
    if json:
        as_json({"version": version, **origin.as_json()})
        return
    from rich.console import Console
    from rich.tree import Tree

    def grow(tree: Tree, node: Origin) -> None:
        for item in node.inputs:
            made = f" made by {item.method} in {item.run}" if item.method else ""
            grow(tree.add(f"{item.name}: {_short(item.pinned)}{made}"), item)

    tree = Tree(f"{version}: {_short(origin.pinned)} made by {origin.method} in {origin.run}")
    grow(tree, origin)
    Console(width=None if sys.stdout.isatty() else 240, highlight=False).print(tree)


def _short(pinned: str) -> str:
    """A pinned reference with as many digits of its digest as people compare."""
    return re.sub(r"(sha256-[0-9a-f]{12})[0-9a-f]+", r"\1", pinned)


def promote(
    alias: AliasName,
    version: Annotated[str, typer.Argument(help="NAME@N, as `poise models` lists it.", show_default=False)],
    json: AsJson = False,
) -> None:
    """Point an alias at a version. Running gateways follow within seconds; `poise rollback` undoes it.

    poise promote sums sums@2
    """
    from poise.client import Client

    moved = Client().promote(alias, version)
    if json:
        as_json(moved.model_dump(mode="json"))
    else:
        print(f"{alias} -> {version}")


def rollback(alias: AliasName, json: AsJson = False) -> None:
    """Point an alias at what it meant before; done twice, it is where it was."""
    from poise.client import Client

    moved = Client().rollback(alias)
    if json:
        as_json(moved.model_dump(mode="json"))
    else:
        print(f"{alias} -> {', '.join(target.version for target in moved.targets)}")
