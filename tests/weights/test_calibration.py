from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from poise.artifacts.probe import TEXTS
from poise.artifacts.task import Task
from poise.errors import DataError
from poise.specs import QuantizeSpec
from poise.weights.calibration import calibration_blocks
from poise.weights.general import GENERAL_TEXTS

Blocks = list[list[int]]


@pytest.fixture
def calibrate(tiny: Path, tmp_path: Path) -> Callable[..., Blocks]:
    """The blocks made of some rows with some options."""

    def blocks(rows: list[dict[str, Any]], **options: Any) -> Blocks:
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
        spec = QuantizeSpec.model_validate(
            {
                "method": "quantize",
                "base": "builtin:tiny",
                "data": {"calibration": str(file)},
                "options": {"format": "awq", **options},
            }
        )
        task = Task(
            spec=spec,
            inputs={"base": tiny, "data.calibration": file},
            workdir=tmp_path,
            on_step=lambda step, metrics: None,
            save_checkpoint=lambda step, folder: None,
            restore_checkpoint=lambda: None,
            stop_requested=lambda: False,
            progress=lambda what, done, of: None,
        )
        return calibration_blocks(task)

    return blocks


ROWS = [{"prompt": f"{a} + {a} =", "completion": str(2 * a)} for a in range(100)]


def test_blocks_are_of_one_length_and_no_longer_than_a_row_may_be(calibrate: Callable[..., Blocks]) -> None:
    assert len({len(block) for block in calibrate(ROWS)}) == 1
    assert {len(block) for block in calibrate(ROWS, max_length=24)} == {24}


def test_the_seed_and_the_number_of_rows_decide_which_are_taken(calibrate: Callable[..., Blocks]) -> None:
    assert calibrate(ROWS, samples=8, seed=1) == calibrate(ROWS, samples=8, seed=1)
    assert calibrate(ROWS, samples=8, seed=1) != calibrate(ROWS, samples=8, seed=2)
    few, many = (sum(map(len, calibrate(ROWS, samples=samples))) for samples in (8, 64))
    assert few < many


def test_rows_without_answers_calibrate_by_their_prompts(calibrate: Callable[..., Blocks]) -> None:
    prompts = [{"prompt": row["prompt"]} for row in ROWS]
    assert 0 < sum(map(len, calibrate(prompts))) < sum(map(len, calibrate(ROWS)))


def test_rows_of_no_known_form_are_refused_with_their_line(calibrate: Callable[..., Blocks]) -> None:
    with pytest.raises(DataError, match=r"rows\.jsonl:1"):
        calibrate([{"question": "1 + 1 ="}])


def test_a_probe_asks_no_text_that_was_calibrated_on() -> None:
    assert not set(TEXTS) & set(GENERAL_TEXTS)
