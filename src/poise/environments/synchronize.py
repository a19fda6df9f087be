"""Making environments.

An environment is built beside its place, stamped last, and renamed, so that a reader sees a whole one or none, and
what a killed build left is thrown away by the next.
"""

from __future__ import annotations

import fcntl
import shutil
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from poise.environments import uv
from poise.environments.state import (
    LOCKS,
    PYTHON,
    build_lock,
    detected_variant,
    links,
    lock_file,
    place,
    problem,
    read_stamp,
    stamp_of,
    write_stamp,
)

OnLine = Callable[[str], None]


def sync(
    home: Path,
    names: Collection[str],
    *,
    variant: str | None = None,
    find_links: str | None = None,
    on_line: OnLine = lambda line: None,
    locks: Path = LOCKS,
) -> dict[str, Path]:
    """Bring environments up to date, one after the other, and return their folders; one that is costs milliseconds.

    Args:
        home: environments are made in `<home>/envs`.
        names: names of `ENVIRONMENTS`.
        variant: `cpu` or `cuda`; what this machine has by default.
        find_links: a folder of wheels (the value of PIP_FIND_LINKS) that has the CPU build of torch.
        on_line: told of progress, line by line.
        locks: the folder of lock files.

    Raises:
        NotFound: no environment has this name, or none this variant.
        MachineError: Python, a compiler, disk space or a package is lacking.
        TryAgain: the network failed.
        DigestMismatch: what was downloaded is not what was locked.
    """
    variant = variant or detected_variant()
    for name in names:
        if problem(name, home, variant=variant, locks=locks) is not None:
            _sync(name, place(name, home), variant, find_links, on_line, locks)
    return {name: place(name, home) for name in names}


def _sync(name: str, environment: Path, variant: str, find_links: str | None, on_line: OnLine, locks: Path) -> None:
    tell = partial(_tell, on_line, name)
    with _held(environment, tell) as lock:
        stamp = stamp_of(name, variant, locks)
        if read_stamp(environment) != stamp or not (environment / "bin" / "python").exists():
            packages = _packages(name, variant, find_links, locks)
            with _replacing(environment) as building:
                run = partial(uv.run, on_line=tell, held=lock)
                run(["venv", "--quiet", "--relocatable", "--python", _interpreter(), str(building)])
                run(["pip", "sync", "--python", str(building), *packages])
                _link(building)
                write_stamp(building, stamp)
        _link(environment)


def _tell(on_line: OnLine, name: str, line: str) -> None:
    on_line(f"{name}: {line}")


@contextmanager
def _held(environment: Path, tell: OnLine) -> Iterator[int]:
    """One sync of an environment at a time; yields the lock, for children to hold as well."""
    environment.parent.mkdir(parents=True, exist_ok=True)
    with environment.with_name(f".{environment.name}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell("waiting for another sync")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file.fileno()


@contextmanager
def _replacing(environment: Path) -> Iterator[Path]:
    """A folder to build in, which then takes the environment's place."""
    building, replaced = (environment.with_name(f".{environment.name}.{end}") for end in ("new", "old"))
    for leftover in (building, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    yield building
    if environment.exists():
        environment.rename(replaced)
    building.rename(environment)
    shutil.rmtree(replaced, ignore_errors=True)


def _interpreter() -> str:
    """This Python when it is the right one; else uv looks for one, or downloads it."""
    running = f"{sys.version_info.major}.{sys.version_info.minor}"
    return sys.executable if running == PYTHON else PYTHON


def _packages(name: str, variant: str, find_links: str | None, locks: Path) -> list[str]:
    """What `uv pip sync` is told of packages and where they come from.

    Bytecode is compiled here because vLLM takes minutes to start without it, and a container may not write it later.
    """
    arguments = ["--require-hashes", "--compile-bytecode", str(lock_file(name, variant, locks))]
    build = build_lock(name, locks)
    arguments += ["--build-constraints", str(build)] if build else ["--no-build"]
    if variant == "cuda":
        return arguments
    if find_links is None:
        return [*arguments, "--torch-backend", "cpu"]
    return [*arguments, "--find-links", find_links if "://" in find_links else str(Path(find_links).absolute())]


def _link(environment: Path) -> None:
    """Make the environment hold the running Poise, and no other."""
    wanted = links(environment)
    for link in next(iter(wanted)).parent.glob("poise*"):
        if link.is_symlink() and link not in wanted:
            link.unlink()
    for link, target in wanted.items():
        if link.resolve() != target:
            fresh = link.with_name(f".{link.name}")
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(target)
            fresh.replace(link)
