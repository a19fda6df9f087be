"""Making environments.

An environment is built beside its place, stamped last, and renamed, so that a reader sees a whole one or none, and
what a killed build left is thrown away by the next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from poise.environments import uv
from poise.environments.state import (
    LOCKS,
    Variant,
    place,
    problem,
    read_stamp,
    stamp_of,
    variant,
)

OnLine = Callable[[str], None]


def sync(
    names: Iterable[str],
    home: Path,
    *,
    wanted: Variant | None = None,
    find_links: str | None = None,
    on_line: OnLine = lambda line: None,
    locks: Path = LOCKS,
) -> None:
    """Bring environments up to date, one after the other; one that is costs milliseconds.

    Args:
        names: names of `ENVIRONMENTS`.
        home: environments are made in `<home>/envs`.
        wanted: packages for the CPU or for CUDA; `variant()` by default.
        find_links: a folder of wheels (the value of PIP_FIND_LINKS) that has the CPU build of torch.
        on_line: told of progress, line by line.
        locks: the folder of lock files.

    Raises:
        NotFound: no environment has this name.
        MachineError: Python, a compiler, disk space or a package is lacking.
        TryAgain: the network failed.
        DigestMismatch: what was downloaded is not what was locked.
    """
    wanted = wanted or variant()
    for name in names:
        if problem(name, home, wanted=wanted, locks=locks) is None:
            continue
        environment = place(name, home)
        with _held(environment, on_line) as lock:
            if problem(name, home, wanted=wanted, locks=locks) is None:
                continue
            stamp = stamp_of(name, wanted, locks)
            if read_stamp(environment) != stamp or not (environment / "bin" / "python").exists():
                run = partial(uv.run, on_line=lambda line, name=name: on_line(f"{name}: {line}"), held=lock)
                ...
            _link(environment)
