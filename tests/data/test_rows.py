"""Data that cannot be used is refused with its file, its line, and what to do."""

import json
from pathlib import Path

import pytest

from poise.data import conversations, prompts, questions, read_rows
from poise.errors import DataError

GOOD = {"messages": [{"role": "user", "content": "7 + 5 ="}, {"role": "assistant", "content": "12"}], "answer": "12"}


def written(folder: Path, *lines: object, name: str = "rows.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def test_json_lines_are_read_with_the_line_each_stands_on(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path, GOOD, "", GOOD), "rows.jsonl", {})
    assert [row.where for row in rows] == ["rows.jsonl:1", "rows.jsonl:3"]
    assert rows[0].values == GOOD


def test_csv_and_json_are_read(tmp_path: Path) -> None:
    table = written(tmp_path, "prompt,completion", '"7 + 5, please",12', name="rows.csv")
    assert conversations(read_rows(table, "rows.csv", {}))[0].messages[0]["content"] == "7 + 5, please"
    listed = written(tmp_path, [GOOD], name="rows.json")
    assert conversations(read_rows(listed, "rows.json", {}))[0].completion == "12"


@pytest.mark.parametrize(
    ("split", "expected"),
    [("train", 10), ("train[:3]", 3), ("train[8:]", 2), ("train[:50%]", 5), ("train[-20%:]", 2), ("test", 1)],
)
def test_a_split_and_a_slice_of_it_are_taken(tmp_path: Path, split: str, expected: int) -> None:
    written(tmp_path, *[GOOD] * 10, name="train.jsonl")
    written(tmp_path, GOOD, name="test.jsonl")
    assert len(read_rows(tmp_path, f"{tmp_path}?split={split}", {})) == expected


def test_slices_that_meet_share_no_row(tmp_path: Path) -> None:
    path = written(tmp_path, *[{"prompt": str(number)} for number in range(11)])
    first = read_rows(path, "rows.jsonl?split=[:90%]", {})
    second = read_rows(path, "rows.jsonl?split=[90%:]", {})
    assert [row.values["prompt"] for row in first + second] == [str(number) for number in range(11)]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "has no rows"),
        ([GOOD, "{not json"], "rows.jsonl:2: not JSON"),
        ([GOOD, "[1, 2]"], "rows.jsonl:2: a row must be an object"),
        ([GOOD, {"mesages": []}], "rows.jsonl:2: expected messages, or prompt and completion"),
        ([GOOD, {"mesages": []}], "is 'mesages' a slip of 'messages'"),
        ([{"messages": "hi"}], "rows.jsonl:1: messages must be a list of messages, not 'hi'"),
        ([{"messages": []}], "rows.jsonl:1: messages must be a list of messages, not nothing"),
        ([{"messages": [{"role": "usr", "content": "x"}]}], "did you mean 'user'"),
        ([{"messages": [{"role": "user"}]}], "rows.jsonl:1: messages[0] must have a role and a text"),
        ([{"messages": GOOD["messages"][:1]}], "there is nothing to learn"),  # type: ignore[index]
        ([{"prompt": "", "completion": "x"}], "prompt is empty"),
    ],
)
def test_rows_that_cannot_be_learned_from_are_refused(tmp_path: Path, lines: list[object], words: str) -> None:
    with pytest.raises(DataError) as caught:
        conversations(read_rows(written(tmp_path, *lines), "rows.jsonl", {}))
    assert words in str(caught.value)
    assert caught.value.exit_code == 65


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("rows.txt", b"hello", "files of type '.txt' are not read"),
        ("rows.jsonl", b"\xff\xfe", "UTF-8"),
        ("rows.csv", b"a,b\n1\n", "rows.csv:2: has not the 2 fields"),
    ],
)
def test_files_that_are_no_data_are_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_rows(tmp_path / name, name, {})
    assert words in str(caught.value)


def test_an_unknown_split_names_the_nearest(tmp_path: Path) -> None:
    written(tmp_path, GOOD, name="train.jsonl")
    with pytest.raises(DataError, match="did you mean split=train"):
        read_rows(tmp_path, "x?split=trian", {})
    with pytest.raises(DataError, match="no split"):
        read_rows(tmp_path, "x?split=train[3", {})


def test_columns_are_renamed_to_the_standard_ones(tmp_path: Path) -> None:
    path = written(tmp_path, {"question": "7 + 5 =", "answer": "12", "level": "easy"})
    rows = read_rows(path, "rows.jsonl", {"prompt": "question", "completion": "answer"})
    assert rows[0].values == {"level": "easy", "prompt": "7 + 5 =", "completion": "12"}
    with pytest.raises(DataError, match="did you mean 'question'"):
        read_rows(path, "rows.jsonl", {"prompt": "qestion"})


def test_a_prompt_is_what_stands_before_the_last_answer(tmp_path: Path) -> None:
    found = prompts(read_rows(written(tmp_path, GOOD, {"prompt": "1 + 1 =", "answer": "2"}), "rows.jsonl", {}))
    assert [prompt.messages[-1]["content"] for prompt in found] == ["7 + 5 =", "1 + 1 ="]
    assert [prompt.extra for prompt in found] == [{"answer": "12"}, {"answer": "2"}]


@pytest.mark.parametrize("row", [{"prompt": "1 + 1 =", "completion": []}, {"prompt": "1 + 1 =", "messages": "zz"}])
def test_a_question_whose_completion_is_none_is_refused(tmp_path: Path, row: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"must be text, or a list of messages|has no answer"):
        questions(read_rows(written(tmp_path, row), "rows.jsonl", {}))


def test_a_question_needs_an_answer(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path, GOOD, {"prompt": "1 + 1 ="}), "rows.jsonl", {})
    assert questions(rows[:1])[0].answer == "12"
    with pytest.raises(DataError, match=r"rows\.jsonl:2: has no answer"):
        questions(rows)
