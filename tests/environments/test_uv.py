"""uv's failures in our words."""

from __future__ import annotations

import pytest

from poise.environments.uv import failure
from poise.errors import DigestMismatch, InternalError, MachineError, PoiseError, TryAgain

DISK = """error: Failed to install: torch-2.13.0+cpu-cp311-cp311-manylinux_2_28_x86_64.whl (torch==2.13.0+cpu)
  cause: failed to copy file: No space left on device (os error 28)
"""
HASHES = """Resolved 1 package in 28ms
error: Failed to download `idna==3.20`
  cause: Hash mismatch for `idna==3.20`
"""
INDEX = """error: Failed to fetch: https://index.example/simple/idna/
  cause: error sending request for url (https://index.example/simple/idna/)
  cause: client error (Connect)
"""
RETRIES = """error: Request failed after 3 retries in 5.4s
  cause: Failed to fetch: https://index.example/whl/cpu/torch/
  cause: error sending request for url (https://index.example/whl/cpu/torch/)
"""
OFFLINE = """error: No solution found when resolving dependencies
  cause: Because idna was not found in the cache and you require idna==3.20, we can conclude that your requirements

hint: Packages were unavailable because the network was disabled.
"""
NO_VERSION = """error: No solution found when resolving dependencies
  cause: Because there is no version of torch==2.13.0+cpu and you require torch==2.13.0+cpu, we can conclude
"""
COMPILER = """error: Failed to download and build `pypcre==0.6.4`
  cause: Failed to build: `pypcre==0.6.4`
  cause: The build backend returned an error
         distutils.compilers.C.errors.CompileError: command 'cc' failed: No such file or directory
"""
PYTHON = "error: No interpreter found for Python 3.11 in managed installations\n"


@pytest.mark.parametrize(
    ("output", "kind", "message", "advice"),
    [
        (DISK, MachineError, "the disk is full", "POISE_HOME"),
        (HASHES, DigestMismatch, "idna==3.20 is not the file", "mirror"),
        (INDEX, TryAgain, "while idna was asked for", "HTTPS_PROXY"),
        (RETRIES, TryAgain, "while torch was asked for", "again"),
        (OFFLINE, TryAgain, "while idna==3.20 was asked for", "network"),
        (NO_VERSION, MachineError, "has torch==2.13.0+cpu", "PIP_FIND_LINKS"),
        (COMPILER, MachineError, "pypcre==0.6.4 could not be built", "build-essential"),
        (PYTHON, MachineError, "Python 3.11 is not on this machine", "apt install python3.11"),
    ],
)
def test_a_failure_names_its_subject_and_what_to_do(
    output: str, kind: type[PoiseError], message: str, advice: str
) -> None:
    error = failure(output)
    assert type(error) is kind
    assert message in error.message
    assert error.advice is not None
    assert advice in error.advice


def test_the_words_of_uv_are_kept_and_its_progress_is_not() -> None:
    error = failure(HASHES)
    assert "cause: Hash mismatch" in error.message
    assert "Resolved" not in error.message


def test_a_long_report_keeps_its_beginning_and_its_end() -> None:
    lines = "\n".join(f"  line {number}" for number in range(100))
    error = failure(f"error: Failed to build `leaf==1.0`\n{lines}\n")
    assert "leaf==1.0 could not be built" in error.message
    assert "line 99" in error.message
    assert "line 50" not in error.message


def test_a_failure_that_is_not_known_is_ours() -> None:
    assert type(failure("error: a bug\n")) is InternalError
