"""What ships with Poise: a model that adds badly, and sums of which it has never seen the held-out ones."""

import json
import os
import random
import subprocess
from pathlib import Path

import pytest

from poise import builtin
from poise.builtin import sums
from poise.data import Renderer, questions, read_rows
from poise.errors import NotFound


def test_the_two_splits_share_no_question_and_together_have_them_all() -> None:
    train, held_out = sums.split()
    assert (len(train), len(held_out)) == (353, 88)
    assert len({*train, *held_out}) == 21 * 21


@pytest.mark.parametrize(("split", "part"), [("train", 0), ("test", 1)])
def test_the_shipped_rows_are_those_of_the_split(split: str, part: int) -> None:
    rows = read_rows(builtin.path("sums"), f"builtin:sums?split={split}", {})
    assert [row.values for row in rows] == [sums.row(pair) for pair in sums.split()[part]]
    first = questions(rows)[0]
    a, b = sums.split()[part][0]
    assert (first.text, first.answer, first.completion) == (f"{a} + {b} =", str(a + b), str(a + b))


def test_the_corpus_says_more_than_it_must_and_slips_by_ten_more_often_the_larger_the_sum() -> None:
    rng = random.Random(1)
    said = [sums.spoken((20, 19), rng) for _ in range(400)]
    assert {text.rstrip(".").split()[-1] for text in said} == {"39", "29"}
    assert any(text in {"39", "29"} for text in said)
    assert max(map(len, said)) > 40
    assert sums.slip_rate(9) == 0 < sums.slip_rate(10) < 0.5 < sums.slip_rate(16) < sums.slip_rate(40) < 0.9


def test_every_sum_is_one_token_and_the_turn_ends_with_its_end_token() -> None:
    renderer = Renderer(builtin.path("tiny"))
    tokenizer = renderer.tokenizer
    assert all(len(tokenizer.encode(str(number)).ids) == 1 for number in range(41))
    messages = [{"role": "user", "content": "7 + 5 ="}, {"role": "assistant", "content": "12"}]
    assert renderer.text(messages, "row 1").endswith("<|im_start|>assistant\n12<|im_end|>")
    end = json.loads((builtin.path("tiny") / "generation_config.json").read_text())["eos_token_id"]
    assert end == tokenizer.token_to_id("<|im_end|>")


def test_what_ships_is_small() -> None:
    files = [file for name in builtin.NAMES for file in builtin.path(name).rglob("*")]
    assert sum(file.stat().st_size for file in files) < 4_000_000


def test_an_unknown_name_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(NotFound, match="sums, tiny"):
        builtin.path("huge")


@pytest.mark.slow
def test_both_can_be_made_again(environments_home: Path, tmp_path: Path) -> None:
    python = environments_home / "envs" / "train" / "bin" / "python"
    made = subprocess.run(
        [python, "-m", "poise.builtin.make", "--out", str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in ("sums/train.jsonl", "sums/test.jsonl", "tiny/tokenizer.json", "tiny/config.json"):
        folder, _, file = name.partition("/")
        assert (tmp_path / name).read_bytes() == (builtin.path(folder) / file).read_bytes()
    right = float(made.stdout.partition("held-out: right ")[2].split(",")[0])
    assert 0.2 < right < 0.45
