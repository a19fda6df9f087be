"""Environments of one tiny package, from a folder of wheels and without a network."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from poise import environments


@dataclass
class Workshop:
    """Lock files for `train` that pin the package `leaf`, and the wheels they are installed from."""

    folder: Path

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def locks(self) -> Path:
        return self.folder / "locks"

    @property
    def wheels(self) -> Path:
        return self.folder / "wheels"

    @property
    def lock(self) -> Path:
        return self.locks / "trainer" / "requirements.cpu.lock"

    def pin(self, version: str) -> None:
        """Lock `leaf` at a version, of which a wheel is made."""
        wheel = self.wheels / f"leaf-{version}-py3-none-any.whl"
        metadata = f"leaf-{version}.dist-info"
        with zipfile.ZipFile(wheel, "w") as archive:
            archive.writestr("leaf.py", f"VERSION = {version!r}\n")
            archive.writestr(f"{metadata}/METADATA", f"Metadata-Version: 2.1\nName: leaf\nVersion: {version}\n")
            archive.writestr(f"{metadata}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{metadata}/RECORD", "")
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        self.lock.write_text(f"leaf=={version} --hash=sha256:{digest}\n")

    def sync(self, on_line: Callable[[str], None] = lambda line: None) -> Path:
        made = environments.sync(
            self.home, ["train"], variant="cpu", find_links=str(self.wheels), on_line=on_line, locks=self.locks
        )
        return made["train"]

    def problem(self, variant: str | None = None) -> str | None:
        return environments.problem("train", self.home, variant=variant, locks=self.locks)

    def python(self) -> Path:
        return environments.python("train", self.home, locks=self.locks)


@pytest.fixture
def workshop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """`leaf` 1.0 is locked, and nothing is made yet."""
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    shop = Workshop(tmp_path)
    shop.lock.parent.mkdir(parents=True)
    shop.wheels.mkdir()
    shop.pin("1.0")
    return shop
