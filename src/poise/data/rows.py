"""Rows out of files: JSON lines, JSON, CSV and Parquet, whole or a slice of a split.

JSON lines and CSV are read here, so that an error can name the line; the rest is read by `datasets`.
"""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from poise.errors import DataError
from poise.specs import Reference

_SUFFIXES = (".jsonl", ".json", ".csv", ".parquet")
_SPLIT = re.compile(r"(?P<name>[A-Za-z0-9_.-]*)(\[(?P<begin>-?\d+%?)?:(?P<end>-?\d+%?)?\])?")

_SHARD = re.compile(r"-\d{5}-of-\d{5}$")


@dataclass(frozen=True)
class Row:
    """One row: its values under standard column names, and where it stands, for errors (`rows.jsonl:7`)."""

    values: dict[str, Any]
    where: str


def read_rows(path: Path, reference: str, columns: Mapping[str, str]) -> list[Row]:
    """Every row of a local file or folder.

    Args:
        reference: what the user wrote, for its `split` and `config` and for naming it in errors.
        columns: standard column name -> the name it has in this data.

    Raises `DataError` naming file and line for what cannot be read, is empty, or lacks a column.
    """
    parsed = Reference.parse(reference)
    split = _SPLIT.fullmatch(parsed.split or "")
    if split is None:
        raise DataError(f"{reference}: {parsed.split!r} is no split", advice="write for example split=train[:90%]")
    file = path if path.is_file() else _file_of_split(path, reference, split["name"], parsed)
    rows = list(_from_library(path, reference) if file is None else _from_file(file))
    if not rows:
        raise DataError(f"{file or path} has no rows", advice="write at least one row")
    chosen = rows if file is None else _slice(rows, split["begin"], split["end"])
    if not chosen:
        raise DataError(f"{reference} leaves none of {len(rows)} rows", advice="widen the slice")
    return [_renamed(row, columns) for row in chosen]


def _file_of_split(folder: Path, reference: str, split: str, parsed: Reference) -> Path | None:
    """The one file of a folder that holds `split`; None where only `datasets` can tell."""
    files = sorted(item for item in folder.rglob("*") if item.suffix in _SUFFIXES and not item.name.startswith("."))
    if "config" in parsed.parameters or not files:
        return None
    if not split and len(files) == 1:
        return files[0]
    names = sorted({_SHARD.sub("", item.stem) for item in files})
    if not split:
        advice = f"say which: add ?split= and one of {', '.join(names[:8])}"
        raise DataError(f"{reference} has {len(files)} files", advice=advice)
    named = [item for item in files if item.stem == split]
    if len(named) == 1:
        return named[0]
    if split in names:
        return None
    near = get_close_matches(split, names, n=1)
    advice = f"did you mean split={near[0]}?" if near else f"splits: {', '.join(names[:8])}"
    raise DataError(f"{reference} has no split {split!r}", advice=advice)


def _from_file(path: Path) -> Iterator[Row]:
    readers = {".jsonl": _json_lines, ".json": _json, ".csv": _csv, ".parquet": _parquet}
    reader = readers.get(path.suffix)
    if reader is None:
        raise DataError(f"{path}: files of type {path.suffix!r} are not read", advice=f"use {', '.join(_SUFFIXES)}")
    try:
        yield from reader(path)
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a text file in UTF-8", advice="convert it, for example with iconv") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _json_lines(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                yield _object(_parsed(line, f"{path.name}:{number}"), f"{path.name}:{number}")


def _json(path: Path) -> Iterator[Row]:
    values = _parsed(path.read_text(encoding="utf-8"), path.name)
    if not isinstance(values, list):
        raise DataError(f"{path.name}: expected a list of rows", advice="or name it .jsonl and write a row a line")
    for number, value in enumerate(values, 1):
        yield _object(value, f"{path.name}, row {number}")


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text.rstrip())
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON: {error.msg} at column {error.colno}: {text.strip()[:60]!r}") from error


def _object(value: Any, where: str) -> Row:
    if not isinstance(value, dict):
        raise DataError(f"{where}: a row must be an object with columns, not {type(value).__name__}")
    return Row(value, where)


def _csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(sys.maxsize)
    # Spreadsheets write a byte order mark, which would become part of the first column's name.
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        for values in reader:
            where = f"{path.name}:{reader.line_num}"
            if None in values or None in values.values():
                raise DataError(f"{where}: has not the {len(reader.fieldnames or ())} fields that the first line names")
            yield Row(dict(values), where)


def _parquet(path: Path) -> Iterator[Row]:
    from pyarrow import ArrowInvalid, parquet

    try:
        table = parquet.read_table(path)
    except ArrowInvalid as error:
        raise DataError(f"{path.name}: not a Parquet file: {error}") from error
    for number, values in enumerate(table.to_pylist(), 1):
        yield Row(values, f"{path.name}, row {number}")


def _from_library(path: Path, reference: str) -> Iterator[Row]:
    """A data set of several files or configurations, as the hub has them."""
    from datasets import load_dataset

    parameters = Reference.parse(reference).parameters
    try:
        loaded = load_dataset(str(path), parameters.get("config"), split=parameters.get("split") or "train")
    except (ValueError, OSError) as error:
        raise DataError(f"{reference}: {error}", advice="name a config and a split that it has") from error
    for number, values in enumerate(loaded, 1):
        yield Row(dict(values), f"{reference}, row {number}")


def _slice(rows: list[Row], begin: str | None, end: str | None) -> list[Row]:
    return rows[_position(begin, len(rows)) : _position(end, len(rows))]


def _position(text: str | None, count: int) -> int | None:
    if text is None:
        return None
    return round(count * int(text[:-1]) / 100) if text.endswith("%") else int(text)


def _renamed(row: Row, columns: Mapping[str, str]) -> Row:
    if not columns:
        return row
    for name in columns.values():
        if name not in row.values:
            near = get_close_matches(name, row.values, n=1)
            advice = f"did you mean {near[0]!r}?" if near else f"its columns are {', '.join(row.values)}"
            raise DataError(f"{row.where}: has no column {name!r}, which data.columns names", advice=advice)
    kept = {name: value for name, value in row.values.items() if name not in columns.values()}
    return Row({**kept, **{standard: row.values[name] for standard, name in columns.items()}}, row.where)
