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

ENVIRONMENT_SIZES = {"cpu": 2 * GIB, "cuda": 8 * GIB}
"""Disk that one environment takes, in bytes, with its share of uv's cache."""

CUDA_13_DRIVER = 580


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
        program_check(
            "C++ compiler",
            ("c++", "g++", "clang++"),
            "the quantize environment is built with it, and torch.compile and vLLM use it as they run",
            "build-essential",
            "gcc-c++",
        ),
        program_check("make", ("make",), "the tests and the images are made with it", "make", "make"),
        library_check("numa", "vLLM places its threads with it", "libnuma1", "numactl-libs"),
        library_check("pcre2-8", "the quantize environment is built with it", "libpcre2-8-0", "pcre2"),
        disk_check(home),
        memory_check(_memory()),
        gpu_check(_cards(), _drivers()),
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


def program_check(name: str, programs: Sequence[str], purpose: str, debian: str, fedora: str) -> Check:
    """Any of several programs, as in c++, g++ and clang++."""
    path = next(filter(None, map(shutil.which, programs)), None)
    return Check(name, path is not None, path or f"not found: {purpose}", _install(debian, fedora))


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


def gpu_check(cards: int, drivers: Sequence[str]) -> Check:
    """That a GPU can be used; a machine without one is fine.

    Args:
        cards: NVIDIA GPUs on the PCI bus.
        drivers: a line `name, memory, driver version` for each GPU that the driver lists.
    """
    fix = _install("nvidia-driver", "akmod-nvidia")
    if not drivers:
        detail = f"{cards} on the bus, none listed by the driver" if cards else "none; the CPU does the work"
        return Check("GPU", cards == 0, detail, fix)
    version = drivers[0].rsplit(",", 1)[-1].strip()
    ok = int(version.split(".")[0]) >= CUDA_13_DRIVER
    detail = "; ".join(drivers)
    return Check("GPU", ok, detail if ok else f"{detail}: CUDA 13 needs driver {CUDA_13_DRIVER} or later", fix)


def environment_check(name: str, home: Path) -> Check:
    """Whether an environment is made from the lock files of this Poise."""
    trouble = environments.problem(name, home)
    detail = f"{name} {trouble}" if trouble else str(home.absolute() / "envs" / name)
    return Check(f"environment {name}", trouble is None, detail, f"poise env sync {name}")


def _install(debian: str, fedora: str) -> str:
    command = f"dnf install {fedora}" if shutil.which("dnf") else f"apt install {debian}"
    return command if os.geteuid() == 0 else f"sudo {command}"


def _memory() -> int:
    """This machine's memory in bytes, or this container's where that is less."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    allowed = limit.read_text().strip() if limit.is_file() else "max"
    return installed if allowed == "max" else min(installed, int(allowed))


def _cards() -> int:
    """NVIDIA display controllers on the PCI bus."""
    devices = Path("/sys/bus/pci/devices").glob("*")
    return sum(
        (device / "vendor").read_text().strip() == "0x10de" and (device / "class").read_text().startswith("0x03")
        for device in devices
    )


def _drivers() -> list[str]:
    if not environments.gpu_count():
        return []
    command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip().splitlines()
