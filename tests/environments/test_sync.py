"""Making environments: whole or not at all, of what was locked, with the running Poise in them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import poise
from poise import environments
from poise.errors import DigestMismatch, InternalError, MachineError, NotFound, TryAgain

Start = Callable[[], subprocess.Popen[str]]

SYNC = """
import sys
from pathlib import Path
from poise.environments import sync
home, wheels, locks = map(Path, sys.argv[1:])
sync(home, ["train"], variant="cpu", find_links=str(wheels), on_line=print, locks=locks)
"""


def ask(python: Path, code: str) -> str:
    """What Python code prints in an environment."""
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    return done.stdout.strip()


@pytest.fixture
def start(workshop) -> Iterator[Start]:
    """Starts a sync in a process of its own."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        folders = map(str, (workshop.home, workshop.wheels, workshop.locks))
        command = [sys.executable, "-u", "-c", SYNC, *folders]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        with process:
            process.kill()


def installer(sync: subprocess.Popen[str]) -> psutil.Process:
    """The `uv pip sync` that a sync has started."""
    while sync.poll() is None:
        for child in psutil.Process(sync.pid).children():
            with suppress(psutil.NoSuchProcess):
                if "pip" in child.cmdline():
                    return child
    raise AssertionError("the sync has ended")


def test_an_environment_holds_what_was_locked(workshop) -> None:
    environment = workshop.sync()
    assert environment == workshop.home / "envs" / "train"
    assert ask(workshop.python(), "import leaf; print(leaf.VERSION)") == "1.0"


def test_an_environment_runs_the_poise_that_made_it(workshop) -> None:
    workshop.sync()
    code = "import poise, os; print(os.path.realpath(poise.__file__))"
    assert ask(workshop.python(), code) == str(Path(poise.__file__).resolve())


def test_the_vllm_plugin_of_poise_is_found_in_an_environment(workshop) -> None:
    workshop.sync()
    code = "from importlib.metadata import entry_points as e; print(*e(group='vllm.general_plugins').names)"
    assert ask(workshop.python(), code) == "poise"


def test_bytecode_is_compiled_where_the_caller_writes_none(workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    environment = workshop.sync()
    assert [file.name for file in environment.rglob("leaf*.pyc")] == ["leaf.cpython-311.pyc"]


def test_an_environment_that_is_up_to_date_is_left_alone(workshop) -> None:
    environment = workshop.sync()
    made = environment.stat()
    lines: list[str] = []
    workshop.sync(lines.append)
    assert lines == []
    assert environment.stat().st_ino == made.st_ino


def test_progress_is_told_by_the_line(workshop) -> None:
    lines: list[str] = []
    workshop.sync(lines.append)
    assert all(line.startswith("train: ") for line in lines)
    assert any("Installed 1 package" in line for line in lines)


def test_other_lock_files_make_an_environment_stale(workshop) -> None:
    workshop.sync()
    workshop.pin("2.0")
    assert workshop.problem() == "was made from other lock files"
    with pytest.raises(MachineError, match="poise env sync train"):
        workshop.python()
    workshop.sync()
    assert ask(workshop.python(), "import leaf; print(leaf.VERSION)") == "2.0"


def test_an_environment_of_the_other_variant_is_stale_only_when_that_is_asked_for(workshop) -> None:
    workshop.sync()
    assert workshop.problem() is None
    assert workshop.problem("cpu") is None
    assert workshop.problem("cuda") == "is for cpu, not for cuda"


def test_a_stamp_that_cannot_be_read_counts_as_none(workshop) -> None:
    environment = workshop.sync()
    (environment / "poise.json").write_text('{"variant":')
    assert workshop.problem() == "has not been made"
    workshop.sync()
    assert workshop.problem() is None


def test_an_environment_whose_python_is_gone_is_made_again(workshop) -> None:
    environment = workshop.sync()
    (environment / "bin" / "python").unlink()
    assert workshop.problem() == "has lost the Python it was made with"
    workshop.sync()
    assert ask(workshop.python(), "import leaf; print(leaf.VERSION)") == "1.0"


def test_another_installation_of_poise_is_replaced_without_installing_packages(workshop, tmp_path: Path) -> None:
    environment = workshop.sync()
    site = environment / "lib" / "python3.11" / "site-packages"
    (site / "poise").unlink()
    (site / "poise").symlink_to(tmp_path / "elsewhere")
    (site / "poise-0.0.1.dist-info").symlink_to(tmp_path / "elsewhere")
    assert workshop.problem() == "holds another installation of Poise"
    lines: list[str] = []
    workshop.sync(lines.append)
    assert workshop.problem() is None
    assert lines == []
    assert [link.name for link in site.glob("poise-*")] == [f"poise-{poise.__version__}.dist-info"]


def test_a_wheel_that_is_not_the_locked_one_is_refused(workshop) -> None:
    workshop.lock.write_text(f"leaf==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(DigestMismatch, match=r"leaf==1\.0 is not the file that the lock file names"):
        workshop.sync()
    assert workshop.problem() == "has not been made"


def test_a_lock_without_hashes_is_refused(workshop) -> None:
    workshop.lock.write_text("leaf==1.0\n")
    with pytest.raises(InternalError, match="must have a hash"):
        workshop.sync()


def test_a_sync_that_fails_keeps_the_environment_of_before(workshop) -> None:
    environment = workshop.sync()
    workshop.lock.write_text(f"leaf==2.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(MachineError, match=r"no package index here has leaf==2\.0"):
        workshop.sync()
    assert ask(environment / "bin" / "python", "import leaf; print(leaf.VERSION)") == "1.0"


def test_a_network_that_is_down_is_told_with_the_package(workshop, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop.lock.write_text(f"branch==1.0 --hash=sha256:{'0' * 64}\n")
    monkeypatch.delenv("UV_NO_INDEX")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    with pytest.raises(TryAgain, match="the network failed while branch was asked for"):
        workshop.sync()


def test_names_and_variants_that_do_not_exist_are_refused(workshop) -> None:
    with pytest.raises(NotFound, match="train, quantize, serve"):
        environments.sync(workshop.home, ["rollout"], variant="cpu")
    with pytest.raises(NotFound, match="cpu and cuda"):
        environments.sync(workshop.home, ["train"], variant="rocm")


def test_a_killed_sync_leaves_no_environment_that_could_be_taken_for_one(workshop, start: Start) -> None:
    chance = random.Random(5)
    for attempt in range(8):
        if attempt % 3 == 2:
            workshop.pin(f"1.{attempt}")
        running = start()
        time.sleep(chance.uniform(0.1, 0.9))
        running.kill()
        running.communicate()
        if workshop.problem() is None:
            assert ask(workshop.python(), "import leaf, poise; print(leaf.VERSION)") in workshop.lock.read_text()
    workshop.sync()
    assert ask(workshop.python(), "import leaf; print(leaf.VERSION)") == "1.5"
    assert sorted(entry.name for entry in (workshop.home / "envs").iterdir()) == [".train.lock", "train"]


def test_what_a_killed_sync_started_holds_the_next_one_up(workshop, start: Start) -> None:
    running = start()
    child = installer(running)
    child.suspend()
    running.kill()
    following = start()
    assert following.stdout is not None
    told = following.stdout.readline()
    child.kill()
    following.communicate()
    assert told == "train: waiting for another sync\n"
    assert following.returncode == 0
    assert workshop.problem() is None


def test_two_syncs_at_once_make_an_environment_once(workshop, start: Start) -> None:
    both = [start() for _ in range(2)]
    told = "".join(process.communicate()[0] for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert told.count("Installed") == 1
    assert json.loads((workshop.home / "envs" / "train" / "poise.json").read_text())["variant"] == "cpu"
