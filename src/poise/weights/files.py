"""The files of a set of weights: reading tensors by name, and writing everything that goes with them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from poise.errors import DataError

CONFIG = "config.json"
MODE = 0o644
COMPANIONS = (
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)


@dataclass(frozen=True)
class Header:
    """What a safetensors file says of one tensor; `dtype` is in safetensors' words (`F32`, `BF16`, ...)."""

    shape: tuple[int, ...]
    dtype: str
    file: Path


def headers(folder: Path) -> dict[str, Header]:
    """Every tensor of a folder by name; nothing but headers is read.

    Raises:
        DataError: there are no safetensors files, or one is damaged.
    """
    found: dict[str, Header] = {}
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(file, framework="pt") as tensors:
                for name in tensors.keys():  # noqa: SIM118 (not a mapping)
                    piece = tensors.get_slice(name)
                    found[name] = Header(tuple(piece.get_shape()), piece.get_dtype(), file)
        except SafetensorError as error:
            raise DataError(f"{file.name} is damaged: {error}", advice="download or make it again") from error
    if not found:
        raise DataError(
            f"{folder.name} holds no safetensors weights",
            advice="convert them with save_pretrained() of transformers first; pickled weights are never loaded",
        )
    return found


def tensors(folder: Path) -> Iterator[tuple[str, Any]]:
    """Every tensor with its name, one in memory at a time."""
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118
                yield name, opened.get_tensor(name)


def tensor(header: Header, name: str) -> Any:
    with safe_open(header.file, framework="pt") as opened:
        return opened.get_tensor(name)


def config(base: Path) -> dict[str, Any]:
    """The model's `config.json`; raises `DataError` where there is none or its weights are already quantized."""
    try:
        values: dict[str, Any] = json.loads((base / CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise DataError(
            "the base has no readable config.json", advice="name a model in Hugging Face's layout"
        ) from error
    if found := values.get("quantization_config"):
        kind = found.get("quant_method", "unknown")
        raise DataError(
            f"the base is already quantized ({kind})",
            advice="start from the 16- or 32-bit weights it was made from: quantized ones lose too much",
        )
    return values


def write_companions(base: Path, output: Path, dtype: str, quantization: dict[str, Any] | None = None) -> None:
    """Put beside new weights what a server reads with them.

    The tokenizer, chat template and generation settings are the base's to the byte, and the configuration is the
    base's but for `dtype` and `quantization`: libraries rewrite these files in passing, and add local paths.
    """
    values = config(base)
    for key in ("_name_or_path", "torch_dtype"):
        values.pop(key, None)
    values["dtype"] = dtype
    if quantization is not None:
        values["quantization_config"] = quantization
    (output / CONFIG).write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")
    for name in COMPANIONS:
        (output / name).unlink(missing_ok=True)
        if (base / name).is_file():
            shutil.copyfile(base / name, output / name)
    for file in output.iterdir():
        file.chmod(MODE)


def size(folder: Path) -> int:
    """Bytes of all weights in a folder."""
    return sum(file.stat().st_size for file in folder.glob("*.safetensors"))
