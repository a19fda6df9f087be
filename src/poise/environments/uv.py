"""uv, run as a process, and its failures in our words."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Sequence

from poise.errors import DigestMismatch, InternalError, MachineError, PoiseError, TryAgain


def run(arguments: Sequence[str], *, on_line: Callable[[str], None], held: int) -> None:
    """Run uv to its end.

    Args:
        arguments: the command, with absolute paths.
        on_line: told of uv's progress, line by line.
        held: the file descriptor of a lock, which is kept locked until uv has ended, though this process be killed.

    Raises:
        MachineError, TryAgain, DigestMismatch: as `failure` reads uv's output.
    """
    # Imported late: environments hold Poise without uv.
    from uv import find_uv_bin

    # In the root folder uv finds no project whose settings it would obey.
    command = [find_uv_bin(), *arguments]
    silent = subprocess.DEVNULL
    with subprocess.Popen(
        command, cwd="/", stdin=silent, stdout=silent, stderr=subprocess.PIPE, text=True, pass_fds=[held]
    ) as process:
        assert process.stderr is not None
        output = []
        for line in process.stderr:
            output.append(line)
            if _is_progress(line):
                on_line(line.strip())
    if process.returncode != 0:
        raise failure("".join(output))


def _is_progress(line: str) -> bool:
    """Not the list of what was installed, and not an error: that is raised."""
    words = line.split()
    return bool(words) and words[0] in _PROGRESS


_PROGRESS = {"Resolved", "Downloading", "Building", "Built", "Prepared", "Installed", "Bytecode", "warning:"}


def failure(output: str) -> PoiseError:
    """The error that uv's standard error tells of."""
    reason = _reason(output)
    package = _package(reason)
    for pattern, error, message, advice in _FAILURES:
        if re.search(pattern, reason):
            return error(f"{message.format(package=package)}\n{reason}", advice=advice)
    return InternalError(f"uv failed\n{reason}")


def _reason(output: str) -> str:
    """From the first word of an error on, cut short."""
    start = output.find("error:")
    lines = [line.rstrip() for line in output[max(start, 0) :].splitlines() if line.strip()]
    return "\n".join(lines if len(lines) <= 12 else [*lines[:6], "  ...", *lines[-5:]])


def _package(reason: str) -> str:
    """The package an error is about: quoted, in a resolver's sentence, or the end of the address that was asked."""
    patterns = (r"`([\w.-]+==[^`\s]+)`", r"([\w.-]+==[\w.+]+)", r"https?://\S+?/([\w.+-]+)/?[\s)]")
    found = (re.search(pattern, reason + "\n") for pattern in patterns)
    return next((match[1] for match in found if match), "a package")


_FAILURES: tuple[tuple[str, type[PoiseError], str, str], ...] = (
    (
        r"No space left on device|Disk quota exceeded",
        MachineError,
        "the disk is full",
        "Free some space, or set POISE_HOME and UV_CACHE_DIR to folders on one larger disk: "
        "all environments for the CPU take 5 GB with uv's cache.",
    ),
    (
        r"Hash mismatch",
        DigestMismatch,
        "{package} is not the file that the lock file names; nothing was installed",
        "Try without the package mirror or proxy in use here; if it is the same, tell Poise's authors.",
    ),
    (
        r"No interpreter found",
        MachineError,
        "Python 3.11 is not on this machine and was not to be downloaded",
        "Install it (Debian, Ubuntu: apt install python3.11; Fedora: dnf install python3.11), then try again.",
    ),
    (
        r"error sending request|Failed to fetch|network was disabled|timed out|response body|HTTP status",
        TryAgain,
        "the network failed while {package} was asked for",
        "Check the network, HTTPS_PROXY, and UV_DEFAULT_INDEX where a mirror is used, and run the command again: "
        "what was downloaded is kept.",
    ),
    (
        r"Failed to (download and )?build|[Bb]uild backend",
        MachineError,
        "{package} could not be built",
        "It needs a C compiler (Debian, Ubuntu: apt install build-essential; "
        "Fedora: dnf install gcc gcc-c++ make); `poise doctor` shows what else is missing.",
    ),
    (
        r"no version of|not found in the package registry|no usable wheels|No solution found",
        MachineError,
        "no package index here has {package}",
        "Where PIP_FIND_LINKS is set, its folder must hold the CPU build of torch: unset it, or put the wheel there.",
    ),
)
