"""What the model sees of a row."""

import json
import shutil
from pathlib import Path

import pytest

from poise import builtin
from poise.data import Conversation, Renderer
from poise.errors import DataError

TURNS = [
    {"role": "user", "content": "7 + 5 ="},
    {"role": "assistant", "content": "12"},
    {"role": "user", "content": "3 + 4 ="},
    {"role": "assistant", "content": "7"},
]


def conversation(messages: list[dict[str, str]]) -> Conversation:
    return Conversation(messages, {}, "rows.jsonl:4")


def learned(folder: Path, messages: list[dict[str, str]], **options: bool) -> str:
    from tokenizers import Tokenizer

    rendered = Renderer(folder).conversation(conversation(messages), **options)
    assert len(rendered.tokens) == len(rendered.mask)
    kept = [token for token, mask in zip(rendered.tokens, rendered.mask, strict=True) if mask]
    text: str = Tokenizer.from_file(str(folder / "tokenizer.json")).decode(kept, skip_special_tokens=False)
    return text


@pytest.fixture
def model(tmp_path: Path) -> Path:
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(builtin.path("tiny") / name, tmp_path / name)
    return tmp_path


def test_every_turn_of_the_assistant_is_learned_with_its_end_token_and_nothing_else(model: Path) -> None:
    assert learned(model, TURNS) == "12<|im_end|>7<|im_end|>"


def test_without_markers_what_follows_the_last_prompt_is_learned(model: Path) -> None:
    template = (model / "chat_template.jinja").read_text()
    plain = template.replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "")
    (model / "chat_template.jinja").write_text(plain)
    assert learned(model, TURNS) == "7<|im_end|>"


def test_what_a_template_says_only_while_the_answer_is_to_come_is_not_taken_for_the_prompt(model: Path) -> None:
    template = (model / "chat_template.jinja").read_text()
    plain = template.replace("{%- generation -%}", "").replace("{%- endgeneration -%}", "")
    thinking = plain.replace(
        "{{- '<|im_start|>assistant\\n' -}}{%- endif -%}", "{{- '<|im_start|>assistant\\n(hm)' -}}{%- endif -%}"
    )
    assert thinking != plain
    (model / "chat_template.jinja").write_text(thinking)
    assert learned(model, TURNS[:2]) == "12<|im_end|>"


def test_the_whole_conversation_is_learned_when_asked_for(model: Path) -> None:
    assert learned(model, TURNS[:2], completion_only=False).endswith(
        "7 + 5 =<|im_end|>\n<|im_start|>assistant\n12<|im_end|>"
    )


def test_a_prompt_ends_where_the_assistant_begins(model: Path) -> None:
    text = Renderer(model).text(TURNS[:1], "row 1", generate=True)
    assert text.endswith("7 + 5 =<|im_end|>\n<|im_start|>assistant\n")


def test_a_row_that_the_template_cannot_render_is_named_with_the_reason(model: Path) -> None:
    (model / "chat_template.jinja").write_text("{{ raise_exception('roles must alternate') }}")
    with pytest.raises(DataError, match=r"rows.jsonl:4: .*roles must alternate"):
        Renderer(model).conversation(conversation(TURNS))


def test_a_template_cannot_reach_into_python(model: Path) -> None:
    (model / "chat_template.jinja").write_text("{{ ''.__class__.__mro__[1].__subclasses__() }}")
    with pytest.raises(DataError, match="cannot render"):
        Renderer(model).conversation(conversation(TURNS))


def test_a_model_without_a_chat_template_is_refused(model: Path) -> None:
    (model / "chat_template.jinja").unlink()
    with pytest.raises(DataError, match="no chat template"):
        Renderer(model).conversation(conversation(TURNS))


def test_a_template_in_the_tokenizers_settings_is_found(model: Path) -> None:
    template = (model / "chat_template.jinja").read_text()
    (model / "chat_template.jinja").unlink()
    settings = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": template}))
    assert learned(model, TURNS) == "12<|im_end|>7<|im_end|>"
