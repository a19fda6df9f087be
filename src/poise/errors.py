"""Every error that Poise raises on purpose, in one tree.

::

    PoiseError                    says what happened and what to do about it
    +-- UserError                 the user's to mend
    |   +-- SpecError             a file that cannot be read as a Run or Pipeline
    |   +-- DataError             training data that cannot be used
    |   +-- NotFound              a name, version, run or object that does not exist
    |   +-- Conflict              a name that is taken, or a value that somebody else has just changed
    |   +-- ParityRefused         weights that do not answer as what they were made from
    |   +-- GuardFired            a limit the user set stopped the run
    |   +-- MachineError          something this machine lacks (`poise doctor` tells more)
    +-- TryAgain                  nobody's fault; the same command may succeed later
    |   +-- StoreUnavailable      the object store does not answer, or is full
    |   +-- LeaseLost             another worker has taken over this run
    |   +-- Interrupted           asked to stop (SIGTERM); a checkpoint was saved
    +-- InternalError             our fault, or damage that Poise found
        +-- DigestMismatch        stored bytes are not the bytes their manifest names
        +-- WorkerFailed          a worker ended without saying why

At each edge an error takes that edge's form: an exit code (`exit_code`), an HTTP status, a condition in a
resource's status.
"""

from __future__ import annotations

from typing import ClassVar


class PoiseError(Exception):
    """`message` says what happened; `advice`, where there is any, says what to do next."""

    exit_code: ClassVar[int] = 70

    def __init__(self, message: str, *, advice: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.message}\n{self.advice}" if self.advice else self.message

    @property
    def reason(self) -> str:
        """The class's name: a word a script can match on, kept in a run's status."""
        return type(self).__name__


class UserError(PoiseError):
    """The user's to mend."""

    exit_code = 64


class SpecError(UserError):
    """A file that cannot be read as a Run or Pipeline."""


class DataError(UserError):
    """Training data that cannot be used."""

    exit_code = 65


class NotFound(UserError):
    """A name, version, run or object that does not exist."""


class Conflict(UserError):
    """A name that is taken, or a value that somebody else has just changed."""


class ParityRefused(UserError):
    """Weights that do not answer as what they were made from."""


class GuardFired(UserError):
    """A limit the user set stopped the run."""

    exit_code = 76


class MachineError(UserError):
    """Something this machine lacks."""


class TryAgain(PoiseError):
    """Nobody's fault; the same command may succeed later."""

    exit_code = 75


class StoreUnavailable(TryAgain):
    """The object store does not answer, or is full."""


class LeaseLost(TryAgain):
    """Another worker has taken over this run."""


class Interrupted(TryAgain):
    """Asked to stop; a checkpoint was saved."""


class InternalError(PoiseError):
    """Our fault, or damage that Poise found."""


class DigestMismatch(InternalError):
    """Stored bytes are not the bytes their manifest names."""


class WorkerFailed(InternalError):
    """A worker ended without saying why."""


def exit_codes(kind: type[PoiseError] = PoiseError) -> dict[str, int]:
    """The exit code of every error in the tree, by the class's name as it stands in a run's status."""
    found = {kind.__name__: kind.exit_code}
    for below in kind.__subclasses__():
        found |= exit_codes(below)
    return found
