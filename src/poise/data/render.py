"""Token ids and the mask of what is learned, as the model sees a conversation.

The chat template is rendered by jinja2 and the text tokenized by `tokenizers`, the two libraries that Transformers uses
for it, so the ids are the same without importing torch. A test holds them equal.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from poise.data.formats import Conversation, Message
from poise.errors import DataError

# Two code points that Unicode sets aside as noncharacters: no text that people exchange has them.
_BEGIN, _END = "\ufdd0", "\ufdd1"
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


@dataclass(frozen=True)
class Rendered:
    """One row as the model sees it: `tokens`, and for each whether it is learned (1) or only read (0)."""

    tokens: list[int]
    mask: list[int]


class _Generation(Extension):
    """The tags `{% generation %}...{% endgeneration %}`: what stands between them was said by the assistant."""

    tags = {"generation"}  # noqa: RUF012 (jinja2 declares it so)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_mark"), [], [], body).set_lineno(line)

    def _mark(self, caller: Callable[[], str]) -> str:
        return f"{_BEGIN}{caller()}{_END}"


class Renderer:
    """Renders with the tokenizer and the chat template of the model in `folder`.

    Args:
        tokenizer: takes the place of `tokenizer.json`; a few families of models are read otherwise by Transformers.
    """

    def __init__(self, folder: Path, tokenizer: Tokenizer | None = None) -> None:
        self._folder = folder
        self._given = tokenizer
        self._settings = self._read_settings()

    def text(self, messages: list[Message], where: str, *, generate: bool = False) -> str:
        """The conversation as one text; `generate` adds what comes before the assistant's next turn."""
        return self._apply(messages, where, generate).replace(_BEGIN, "").replace(_END, "")

    def prompt(self, messages: list[Message], where: str) -> list[int]:
        """Token ids up to where the assistant is to speak."""
        return self._encode(self.text(messages, where, generate=True))

    def conversation(self, row: Conversation, *, completion_only: bool = True) -> Rendered:
        """Token ids of a conversation, and which of them the loss counts.

        With `completion_only` those are what the template marks as generated, or, where it marks nothing, all
        that follows the last prompt. Raises `DataError` where the template cannot render the row.
        """
        marked = self._apply(row.messages, row.where, generate=False)
        text, spans = _spans(marked)
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        tokens: list[int] = encoding.ids
        if not completion_only:
            return Rendered(tokens, [1] * len(tokens))
        if not spans:
            prompt = self.text(row.prompt, row.where, generate=True)
            spans = [(_shared(prompt, text), len(text))]
        return Rendered(tokens, [int(_within(begin, end, spans)) for begin, end in encoding.offsets])

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The fast tokenizer."""
        file = self._folder / "tokenizer.json"
        if self._given is None and not file.exists():
            raise DataError(
                f"the model in {self._folder.name} has no tokenizer.json",
                advice="load its tokenizer with transformers and save it again",
            )
        tokenizer = self._given or Tokenizer.from_file(str(file))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer

    @property
    def end_token(self) -> int | None:
        """The id of the tokenizer's end-of-sequence token, where it has one."""
        name = _content(self._settings.get("eos_token"))
        return None if name is None else self.tokenizer.token_to_id(name)

    @cached_property
    def _template(self) -> jinja2.Template:
        source = self._settings.get("chat_template")
        file = self._folder / "chat_template.jinja"
        if file.exists():
            source = file.read_text(encoding="utf-8")
        if isinstance(source, list):
            source = {item["name"]: item["template"] for item in source}.get("default")
        if not isinstance(source, str):
            raise DataError(
                f"the model in {self._folder.name} has no chat template, so it cannot read conversations",
                advice="use a model that was tuned for chat as base",
            )
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = _to_json
        environment.globals["raise_exception"] = _raise
        environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
        return environment.from_string(source)

    def _apply(self, messages: list[Message], where: str, generate: bool) -> str:
        special = {name: _content(self._settings[name]) for name in _SPECIAL if self._settings.get(name) is not None}
        try:
            return self._template.render(
                messages=messages, tools=None, documents=None, add_generation_prompt=generate, **special
            )
        except (jinja2.TemplateError, TypeError, ValueError, KeyError) as error:
            raise DataError(
                f"{where}: the model's chat template cannot render this row: {error}",
                advice="look at the order of its roles: many templates want user and assistant in turn",
            ) from error

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return ids

    def _read_settings(self) -> dict[str, Any]:
        try:
            settings: dict[str, Any] = json.loads((self._folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(f"{self._folder} has no tokenizer that can be read", advice="name a whole model") from error
        return settings


def _spans(marked: str) -> tuple[str, list[tuple[int, int]]]:
    """The text without marks, and where in it each marked piece begins and ends."""
    pieces: list[str] = []
    spans: list[tuple[int, int]] = []
    position = 0
    for part in marked.split(_BEGIN):
        inside, end, after = part.partition(_END)
        if end:
            spans.append((position, position + len(inside)))
        pieces += [inside, after]
        position += len(inside) + len(after)
    return "".join(pieces), spans


def _shared(prompt: str, text: str) -> int:
    """How much of `prompt` begins `text`: some templates open the assistant's turn otherwise while it is to come."""
    pairs = enumerate(zip(prompt, text, strict=False))
    return next((index for index, (one, other) in pairs if one != other), min(len(prompt), len(text)))


def _within(begin: int, end: int, spans: list[tuple[int, int]]) -> bool:
    return any(begin < right and end > left for left, right in spans)


def _content(value: Any) -> Any:
    return value.get("content") if isinstance(value, dict) else value


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    # Unlike jinja's own, it escapes nothing for HTML.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _raise(message: str) -> None:
    raise jinja2.TemplateError(message)
