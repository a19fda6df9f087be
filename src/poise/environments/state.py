"""Where environments are, and whether they are what the lock files say."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from importlib import metadata
from pathlib import Path
from typing import TypedDict

from poise.errors import MachineError, NotFound

ENVIRONMENTS = {"train": "trainer", "quantize": "quantizer", "serve": "server"}
"""Each environment, and the folder of its lock files."""

PYTHON = "3.11"
"""What the lock files are resolved for."""

_PACKAGE = Path(__file__).resolve().parents[1]

LOCKS = _PACKAGE / "locks" if (_PACKAGE / "locks").is_dir() else _PACKAGE.parents[1] / "images"
"""The folder of lock files: packaged in a wheel, `images/` in a checkout."""


class Stamp(TypedDict):
    """What an environment was made from; kept in the environment."""

    variant: str
    digest: str


def gpu_count() -> int:
    """How many GPUs the NVIDIA driver of this machine lists."""
    try:
        listing = subprocess.run(["nvidia-smi", "--list-gpus"], capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    return listing.stdout.count("GPU ") if listing.returncode == 0 else 0


def detected_variant() -> str:
    """`cuda` on a machine with a GPU, else `cpu`."""
    return "cuda" if gpu_count() else "cpu"


def place(name: str, home: Path) -> Path:
    """The folder of an environment, whether it is there or not.

    Raises:
        NotFound: no environment has this name.
    """
    if name not in ENVIRONMENTS:
        raise NotFound(f"no environment is called {name!r}", advice=f"There are {', '.join(ENVIRONMENTS)}.")
    return home.absolute() / "envs" / name


def python(name: str, home: Path, *, locks: Path = LOCKS) -> Path:
    """The interpreter of an environment.

    Raises:
        MachineError: the environment is missing, or is not what the lock files say.
    """
    if trouble := problem(name, home, locks=locks):
        raise MachineError(f"the environment {name} {trouble}", advice=f"Run: poise env sync {name}")
    return place(name, home) / "bin" / "python"


def problem(name: str, home: Path, *, variant: str | None = None, locks: Path = LOCKS) -> str | None:
    """Why an environment cannot be used, as the end of a sentence; None when it can.

    Without `variant`, either will do.
    """
    environment = place(name, home)
    stamp = read_stamp(environment)
    if stamp is None:
        return "has not been made"
    if variant not in (None, stamp["variant"]):
        return f"is for {stamp['variant']}, not for {variant}"
    if stamp != stamp_of(name, stamp["variant"], locks):
        return "was made from other lock files"
    if not os.access(environment / "bin" / "python", os.X_OK):
        return "has lost the Python it was made with"
    if any(link.resolve() != target for link, target in links(environment).items()):
        return "holds another installation of Poise"
    return None


def lock_file(name: str, variant: str, locks: Path) -> Path:
    """What an environment holds.

    Raises:
        NotFound: there is no such variant.
    """
    file = locks / ENVIRONMENTS[name] / f"requirements.{variant}.lock"
    if not file.is_file():
        raise NotFound(f"no environment is made for {variant!r}", advice="There are cpu and cuda.")
    return file


def build_lock(name: str, locks: Path) -> Path | None:
    """The pins of what builds packages that are published as source alone; None when there are none of these."""
    file = locks / ENVIRONMENTS[name] / "build.lock"
    return file if file.is_file() else None


def stamp_of(name: str, variant: str, locks: Path) -> Stamp:
    """The stamp of an environment made now."""
    files = [lock_file(name, variant, locks), build_lock(name, locks)]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files if file))
    return Stamp(variant=variant, digest=digest.hexdigest())


def lock_digest(name: str) -> str:
    """The digest of the lock files that an environment of this machine is made from."""
    return stamp_of(name, detected_variant(), LOCKS)["digest"]


def read_stamp(environment: Path) -> Stamp | None:
    try:
        stamp: Stamp = json.loads((environment / "poise.json").read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return stamp


def write_stamp(environment: Path, stamp: Stamp) -> None:
    (environment / "poise.json").write_text(json.dumps(stamp))


def links(environment: Path) -> dict[Path, Path]:
    """The links by which an environment holds the running Poise: its package, and its metadata with the entry points.

    Raises:
        MachineError: Poise runs from a folder and is not installed.
    """
    try:
        poise = metadata.distribution("poise")
    except metadata.PackageNotFoundError as error:
        raise MachineError("Poise is not installed", advice="Run: pip install -e .") from error
    described = Path(str(poise.locate_file(f"poise-{poise.version}.dist-info"))).resolve()
    site = environment / "lib" / f"python{PYTHON}" / "site-packages"
    return {site / "poise": _PACKAGE, site / described.name: described}
