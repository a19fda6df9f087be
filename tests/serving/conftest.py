"""Versions as training would publish them, made without training, and the environment that vLLM runs in."""

from __future__ import annotations

import json
import random
import struct
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from poise import builtin
from poise.artifacts import registry, transfer
from poise.artifacts.manifest import Manifest
from poise.artifacts.registry import Published, Version
from poise.settings import Settings
from poise.specs import tree_digest
from poise.store import Store, open_store

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj")


@dataclass(frozen=True)
class Publisher:
    """Publishes into `store` what it writes below `scratch`; `base` is the built-in one, pinned."""

    store: Store
    scratch: Path
    base: str

    def adapter(
        self, name: str, *, rank: int = 8, seed: int = 0, scale: float = 0.1, base: str | None = None
    ) -> Published:
        """A random adapter; `scale` is the standard deviation of its factors."""
        folder = self.scratch / f"{name}-{rank}-{seed}-{scale}"
        if not folder.exists():
            write_adapter(folder, rank, seed, scale)
        return self.folder(name, folder, kind="adapter", base=base or self.base, rank=rank)

    def folder(self, name: str, folder: Path, **fields: object) -> Published:
        known = {"method": "sft", "run": "default.test.00000000", "spec": "sha256-0", "code": "test", "inputs": {}}
        manifest = Manifest.model_validate({**known, "files": transfer.describe(folder), **fields})
        transfer.upload_artifact(self.store, folder, manifest)
        return registry.publish(self.store, name, manifest)


def write_adapter(folder: Path, rank: int, seed: int, scale: float) -> None:
    """A LoRA adapter (arXiv 2106.09685) in PEFT's files, on the attention of every layer of the built-in base."""
    folder.mkdir(parents=True)
    config = json.loads((builtin.path("tiny") / "config.json").read_bytes())
    width = config["hidden_size"]
    numbers = random.Random(seed)
    tensors = {}
    for layer in range(config["num_hidden_layers"]):
        for target in TARGETS:
            name = f"base_model.model.model.layers.{layer}.self_attn.{target}"
            for part, shape in (("lora_A", (rank, width)), ("lora_B", (width, rank))):
                values = array("f", (numbers.gauss(0, 1) * scale for _ in range(rank * width)))
                tensors[f"{name}.{part}.weight"] = (shape, values.tobytes())
    write_safetensors(folder / "adapter_model.safetensors", tensors)
    peft = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 2 * rank, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(peft | {"target_modules": TARGETS}))


def write_safetensors(path: Path, tensors: dict[str, tuple[tuple[int, int], bytes]]) -> None:
    header: dict[str, object] = {}
    end = 0
    for name, (shape, data) in tensors.items():
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + len(data)]}
        end += len(data)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data for _, data in tensors.values()))


@pytest.fixture(scope="session")
def base() -> str:
    return f"builtin:tiny@{tree_digest(builtin.path('tiny'))}"


@pytest.fixture
def publisher(tmp_path: Path, base: str) -> Publisher:
    return Publisher(open_store(str(tmp_path / "store")), tmp_path / "scratch", base)


@pytest.fixture(scope="module")
def module_publisher(tmp_path_factory: pytest.TempPathFactory, base: str) -> Publisher:
    folder = tmp_path_factory.mktemp("serving")
    return Publisher(open_store(str(folder / "store")), folder / "scratch", base)


@pytest.fixture(scope="session")
def serve_home() -> Path:
    """The home whose environment `serve` holds a real vLLM."""
    home = Settings.from_environment().home
    if not (home / "envs" / "serve" / "bin" / "python").exists():
        pytest.skip("needs a real vLLM: `poise env sync serve`")
    return home


@pytest.fixture
def published() -> Callable[..., Published]:
    """A version that exists in no store."""

    def make(name: str, kind: str = "adapter", base: str = "builtin:tiny@sha256-ab", rank: int | None = 8) -> Published:
        version = Version.model_validate({"kind": kind, "artifact": f"sha256-{name}", "base": base, "rank": rank})
        return Published(name, 1, version)

    return make
