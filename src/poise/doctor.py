"""What this machine has of what Poise needs, each lack with the command that mends it."""

from __future__ import annotations

import ctypes.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from poise import environments

GIB = 1024**3

ENVIRONMENT_SIZES = {"cpu": 2 * GIB, "cuda": 12 * GIB}
"""Disk that one environment takes, in bytes, with its share of uv's cache."""


@dataclass(frozen=True)
class Check:
    """Attributes:
    name: what was looked for.
    ok: whether it is there.
    detail: what was found, and what it is for where it was not.
    fix: a command to paste, or what to do; empty where nothing is to be done.
    """

    name: str
    ok: bool
    detail: str
    fix: str = ""


def checks(home: Path) -> list[Check]:
    """Look at this machine and at the environments in `home`."""
    return [
        platform_check(platform.system(), platform.machine()),
        python_check(sys.version_info[:3]),
        compiler_check(),
        library_check("numa", "vLLM places its threads with it", "libnuma1", "numactl-libs"),
        library_check("pcre2-8", "GPTQModel reads its patterns with it", "libpcre2-8-0", "pcre2"),
        disk_check(home),
        memory_check(_memory()),
        gpu_check(),
        *(environment_check(name, home) for name in environments.ENVIRONMENTS),
    ]


def platform_check(system: str, machine: str) -> Check:
    """The environments are locked for Linux on x86-64 alone."""
    ok = (system, machine) == ("Linux", "x86_64")
    return Check("platform", ok, f"{system} {machine}", "Use a Linux machine with an x86-64 processor.")


def python_check(version: Sequence[int]) -> Check:
    """Poise needs 3.11; for the environments uv finds or downloads it."""
    text = ".".join(map(str, version))
    return Check("python", tuple(version) >= (3, 11), text, _install("python3.11", "python3.11"))


def compiler_check() -> Check:
    """The C and C++ compiler and make."""
    wanted = {"C": ("cc", "gcc", "clang"), "C++": ("c++", "g++", "clang++"), "make": ("make",)}
    found = {what: next(filter(None, map(shutil.which, programs)), None) for what, programs in wanted.items()}
    missing = [what for what, path in found.items() if path is None]
    purpose = "needed to install GPTQModel, and by torch.compile and vLLM"
    detail = f"no {', '.join(missing)}: {purpose}" if missing else ", ".join(filter(None, found.values()))
    return Check("compiler", not missing, detail, _install("build-essential", "gcc gcc-c++ make"))


def library_check(name: str, purpose: str, debian: str, fedora: str) -> Check:
    """A shared library that the wheels expect of the system."""
    file = ctypes.util.find_library(name)
    return Check(f"lib{name}", file is not None, file or f"not found: {purpose}", _install(debian, fedora))


def disk_check(home: Path) -> Check:
    """Room for the environments that are still to be made, and for a model."""
    existing = next(folder for folder in (home, *home.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    unmade = sum(environments.problem(name, home) is not None for name in environments.ENVIRONMENTS)
    needed = GIB + unmade * ENVIRONMENT_SIZES[environments.detected_variant()]
    detail = f"{free / GIB:.0f} GiB free, {needed / GIB:.0f} GiB wanted at {existing}"
    return Check("disk", free >= needed, detail, f"export POISE_HOME=<a folder with {needed / GIB:.0f} GiB free>")


def memory_check(size: int) -> Check:
    """What a vLLM and a worker need beside each other, with a tiny model."""
    detail = f"{size / GIB:.1f} GiB; 4 are enough for small models"
    # A machine sold with 4 GiB shows a little less.
    return Check("memory", size >= 3.5 * GIB, detail, "Use a machine with 4 GiB of memory or more.")


def gpu_check() -> Check:
    """A GPU is not needed; a GPU without a working driver is worth knowing of."""
    listing = _nvidia_smi()
    ...


def environment_check(name: str, home: Path) -> Check:
    """Whether an environment is made from the lock files of this Poise."""
    trouble = environments.problem(name, home)
    detail = f"{name} {trouble}" if trouble else str(home.absolute() / "envs" / name)
    return Check(f"environment {name}", trouble is None, detail, f"poise env sync {name}")
