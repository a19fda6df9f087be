"""The one grammar by which files name models, data and artifacts."""

import pytest

from poise.specs import Reference


@pytest.mark.parametrize(
    ("text", "scheme", "target", "parameters"),
    [
        ("hf:Qwen/Qwen2.5-0.5B-Instruct", "hf", "Qwen/Qwen2.5-0.5B-Instruct", {}),
        ("hf:gpt2@main", "hf", "gpt2@main", {}),
        (
            "hf:openai/gsm8k?config=main&split=train[:90%]", "hf", "openai/gsm8k",
            {"config": "main", "split": "train[:90%]"},
        ),
        ("builtin:sums?split=test", "builtin", "sums", {"split": "test"}),
        ("s3://bucket/some/key.jsonl", "s3", "bucket/some/key.jsonl", {}),
        ("model:sums@3", "model", "sums@3", {}),
        ("./rows.jsonl", "path", "./rows.jsonl", {}),
        ("/data/rows.jsonl?split=train", "path", "/data/rows.jsonl", {"split": "train"}),
        ("file:///data/rows.jsonl", "path", "/data/rows.jsonl", {}),
        ("artifact:sha256-" + "a" * 64, "artifact", "sha256-" + "a" * 64, {}),
        ("step:tune", "step", "tune", {}),
    ],
)  # fmt: skip
def test_a_reference_is_taken_apart(text: str, scheme: str, target: str, parameters: dict[str, str]) -> None:
    assert Reference.parse(text) == Reference(scheme, target, parameters)


@pytest.mark.parametrize(
    "text", ["hf:Qwen/Qwen2.5-0.5B-Instruct", "builtin:sums?split=test", "s3://bucket/key", "./rows.jsonl?split=a"]
)
def test_a_reference_is_written_as_it_was_read(text: str) -> None:
    assert str(Reference.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hf:",
        "hf:../../etc",
        "model:sums@0",
        "model:sums",
        "artifact:sha256-abc",
        "ftp://host/x",
        "hf:a/b/c",
        "x?splt=a",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Reference.parse(text)
