"""Token ids and masks are those that Transformers makes of the same model and rows."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from poise import builtin
from poise.data import Conversation, Renderer

CONVERSATIONS = [
    [{"role": "user", "content": "7 + 5 ="}, {"role": "assistant", "content": "12"}],
    [{"role": "system", "content": "Be brief.\n\n"}, {"role": "user", "content": "Grüße aus Köln, \U0001f600 日本"},
     {"role": "assistant", "content": "über 12 \U0001f600!"}, {"role": "user", "content": "  <|im_end|> {{ 7 * 7 }} "},
     {"role": "assistant", "content": "a<b> & 'c' \"d\"\n"}],
    [{"role": "user", "content": ""}, {"role": "assistant", "content": "3"}],
]  # fmt: skip
TEMPLATES = {
    "as shipped": None,
    "turns in brackets": (
        "{{ bos_token }}{% for message in messages %}\n"
        "    {% if message.role == 'user' %}\n[INST] {{ message.content | trim }} [/INST]"
        "{% elif message.role == 'assistant' %}{% generation %}{{ message.content }}{{ eos_token }}{% endgeneration %}"
        "{% endif %}\n{% endfor %}"
    ),
    "a template with namespaces, filters and a system default": (
        "{%- set ns = namespace(turn=0) -%}"
        "{%- if messages[0]['role'] != 'system' -%}{{ '<|im_start|>system\\nHello<|im_end|>\\n' }}{%- endif -%}"
        "{%- if tools is not none -%}{{ raise_exception('no tools') }}{%- endif -%}"
        "{%- for m in messages -%}{%- set ns.turn = ns.turn + 1 -%}"
        "{%- if m.role == 'assistant' -%}<|im_start|>assistant\n"
        "{% generation %}{{ m.content }}<|im_end|>{% endgeneration %}"
        "{%- else -%}{{ '<|im_start|>' ~ m.role ~ '\\n' ~ (m.content | tojson) ~ ns.turn ~ '<|im_end|>\\n' }}"
        "{%- endif -%}{%- if ns.turn > 20 -%}{%- break -%}{%- endif -%}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{ '<|im_start|>assistant\\n' }}{%- endif -%}"
    ),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The builtin model's tokenizer with one template after the other; it has a BOS token where one is used."""
    folders = []
    for number, template in enumerate(TEMPLATES.values()):
        folder = tmp_path_factory.mktemp("model") / str(number)
        shutil.copytree(builtin.path("tiny"), folder)
        if template is not None:
            (folder / "chat_template.jinja").write_text(template)
        if template is not None and "bos_token" in template:
            settings = json.loads((folder / "tokenizer_config.json").read_text())
            settings["bos_token"] = "<|im_start|>"
            (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        folders.append(folder)
    return folders


@pytest.fixture(scope="module")
def expected(models: list[Path], environments_home: Path) -> list[Any]:
    python = environments_home / "envs" / "train" / "bin" / "python"
    done = subprocess.run(
        [python, Path(__file__).with_name("transformers_ids.py")],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        input=json.dumps([[str(folder), CONVERSATIONS] for folder in models]),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    listed: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return listed


@pytest.mark.parametrize("number", range(len(TEMPLATES)), ids=TEMPLATES)
def test_ids_and_masks_are_those_of_transformers(number: int, models: list[Path], expected: list[Any]) -> None:
    renderer = Renderer(models[number])
    for messages, (tokens, mask, prompt) in zip(CONVERSATIONS, expected[number], strict=True):
        rendered = renderer.conversation(Conversation(messages, {}, "row 1"))
        assert rendered.tokens == tokens
        assert rendered.mask == mask
        assert 1 in mask
        assert renderer.prompt(messages[:-1], "row 1") == prompt
