"""What `poise doctor` sees, and the command it gives for each lack."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from poise import doctor, environments

GIB = doctor.GIB


@pytest.fixture
def no_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """PATH is an empty folder."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_every_lack_has_something_to_do_and_a_detail(tmp_path: Path) -> None:
    checks = doctor.checks(tmp_path / "not" / "there")
    assert len({check.name for check in checks}) == len(checks)
    assert all(check.detail for check in checks)
    assert all(check.fix for check in checks if not check.ok)


def test_environments_that_are_not_made_are_a_command_away(tmp_path: Path) -> None:
    missing = [check for check in doctor.checks(tmp_path) if check.name.startswith("environment ")]
    assert [check.fix for check in missing] == [f"poise env sync {name}" for name in ("train", "quantize", "serve")]
    assert not any(check.ok for check in missing)


@pytest.mark.parametrize(
    ("system", "machine", "ok"), [("Linux", "x86_64", True), ("Linux", "aarch64", False), ("Darwin", "x86_64", False)]
)
def test_the_platform_is_the_one_of_the_lock_files(system: str, machine: str, ok: bool) -> None:
    assert doctor.platform_check(system, machine).ok is ok


@pytest.mark.parametrize(("version", "ok"), [((3, 11, 0), True), ((3, 14, 2), True), ((3, 10, 13), False)])
def test_python_is_new_enough(version: tuple[int, int, int], ok: bool) -> None:
    assert doctor.python_check(version).ok is ok


def test_one_of_several_programs_is_enough(no_programs: Path) -> None:
    (no_programs / "clang++").touch(mode=0o755)
    check = doctor.program_check("C++ compiler", ("c++", "clang++"), "it compiles", "build-essential", "gcc-c++")
    assert check.ok
    assert check.detail == str(no_programs / "clang++")


def test_a_missing_program_is_installed_by_the_package_manager_at_hand(no_programs: Path) -> None:
    check = doctor.program_check("C++ compiler", ("c++",), "it compiles", "build-essential", "gcc-c++")
    assert not check.ok
    assert "it compiles" in check.detail
    assert check.fix.endswith("apt install build-essential")
    (no_programs / "dnf").touch(mode=0o755)
    check = doctor.program_check("C++ compiler", ("c++",), "it compiles", "build-essential", "gcc-c++")
    assert check.fix.endswith("dnf install gcc-c++")


def test_a_library_is_found_by_its_name_or_missing() -> None:
    assert doctor.library_check("c", "everything", "libc6", "glibc").ok
    missing = doctor.library_check("no-such-thing", "nothing", "libnothing", "nothing")
    assert not missing.ok
    assert missing.detail == "not found: nothing"


def test_the_disk_is_that_of_a_home_still_to_be_made(tmp_path: Path) -> None:
    check = doctor.disk_check(tmp_path / "new" / "home")
    each = doctor.ENVIRONMENT_SIZES[environments.detected_variant()]
    free, wanted = shutil.disk_usage(tmp_path).free, GIB + 3 * each
    assert check.detail.endswith(f"at {tmp_path}")
    assert check.ok is (free >= wanted)


@pytest.mark.parametrize(("size", "ok"), [(int(3.8 * GIB), True), (2 * GIB, False)])
def test_memory_is_enough_for_small_models(size: int, ok: bool) -> None:
    assert doctor.memory_check(size).ok is ok


@pytest.mark.parametrize(
    ("cards", "drivers", "ok", "word"),
    [
        (0, [], True, "the CPU does the work"),
        (1, [], False, "none listed by the driver"),
        (1, ["NVIDIA A10, 23028 MiB, 580.65.06"], True, "NVIDIA A10"),
        (2, ["NVIDIA A10, 23028 MiB, 535.10", "NVIDIA A10, 23028 MiB, 535.10"], False, "needs driver 580"),
    ],
)
def test_a_gpu_needs_a_driver_and_no_gpu_is_fine(cards: int, drivers: list[str], ok: bool, word: str) -> None:
    check = doctor.gpu_check(cards, drivers)
    assert check.ok is ok
    assert word in check.detail
