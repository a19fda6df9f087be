"""Parquet files, and folders of them laid out as on the hub, are read where their libraries are installed."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def read(environments_home: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    python = environments_home / "envs" / "train" / "bin" / "python"
    cache = str(tmp_path_factory.mktemp("cache"))
    done = subprocess.run(
        [python, Path(__file__).with_name("parquet_rows.py"), tmp_path_factory.mktemp("hub")],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_CACHE": cache},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_a_split_in_several_files_is_one(read: list[Any]) -> None:
    assert [answer for answer, _ in read[0]] == [1, 2, 3, 4, 5, 6]
    assert read[0][-1][1] == "hf:org/sums?split=train, row 6"


def test_a_slice_of_a_split_in_several_files_is_taken(read: list[Any]) -> None:
    assert [answer for answer, _ in read[1]] == [5, 6]


def test_an_unknown_split_names_the_nearest(read: list[Any]) -> None:
    assert read[2] == "hf:org/sums?split=tset has no split 'tset'\ndid you mean split=test?"


def test_one_file_is_read_without_its_library_of_splits(read: list[Any]) -> None:
    assert read[3] == [[7, "test-00000-of-00001.parquet, row 1"]]


def test_a_file_that_is_no_parquet_is_refused(read: list[Any]) -> None:
    assert read[4].startswith("broken.parquet: not a Parquet file")
