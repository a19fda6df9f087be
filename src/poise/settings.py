"""What the library and the CLI take from the environment; nothing else in them reads it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Hub:
    """The model hub's URL, and a token for what is gated or private there."""

    url: str = "https://huggingface.co"
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Settings:
    """Attributes:
    home: environments, cache and logs; `.poise` here or in the nearest folder above that has one.
    store: URL of the store; `<home>/store` by default.
    hub: the model hub.
    patience: seconds for which a worker goes on trying while the store does not answer.
    find_links: a folder of wheels that packages are also taken from.
    """

    home: Path
    store: str
    hub: Hub = field(default_factory=Hub)
    patience: float = 170.0
    find_links: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Settings:
        """Read POISE_HOME, POISE_STORE, HF_ENDPOINT and PIP_FIND_LINKS."""
        home = Path(environment["POISE_HOME"]) if environment.get("POISE_HOME") else _nearest_home(Path.cwd())
        return cls(
            home=home.absolute(),
            store=environment.get("POISE_STORE") or str(home.absolute() / "store"),
            patience=float(environment.get("POISE_STORE_PATIENCE") or cls.patience),
            hub=Hub(environment.get("HF_ENDPOINT", Hub.url).rstrip("/"), environment.get("HF_TOKEN") or None),
            find_links=environment.get("PIP_FIND_LINKS") or None,
        )


def _nearest_home(folder: Path) -> Path:
    for candidate in (folder, *folder.parents):
        if (candidate / ".poise").is_dir():
            return candidate / ".poise"
    return folder / ".poise"
