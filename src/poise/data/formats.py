"""What rows mean, told from their columns: conversations to learn from, or prompts to answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from poise.data.rows import Row
from poise.errors import DataError

Message = dict[str, str]
_ROLES = ("system", "user", "assistant", "tool")
_SHAPE = '{"messages": [{"role": "user", "content": "..."}, {"role": "assistant", "content": "..."}]}'


@dataclass(frozen=True)
class Conversation:
    """Turns that end with the assistant's, the columns beside them, and where the row stands."""

    messages: list[Message]
    extra: dict[str, Any]
    where: str

    @property
    def prompt(self) -> list[Message]:
        return self.messages[:-1]

    @property
    def completion(self) -> str:
        return self.messages[-1]["content"]


@dataclass(frozen=True)
class Prompt:
    """Turns to be answered, the columns beside them (rewards read those), and where the row stands."""

    messages: list[Message]
    extra: dict[str, Any]
    where: str


def conversations(rows: Iterable[Row]) -> list[Conversation]:
    """Rows of `messages`, or of `prompt` and `completion`. Raises `DataError` naming the first other one."""
    return [_conversation(row) for row in rows]


def prompts(rows: Iterable[Row]) -> list[Prompt]:
    """Rows of `prompt`, or of `messages`, whose last assistant turn is then left out."""
    return [_prompt(row) for row in rows]


def _conversation(row: Row) -> Conversation:
    if "messages" in row.values:
        messages = _messages(row, "messages")
    elif "prompt" in row.values and "completion" in row.values:
        messages = [*turns(row, "prompt", "user"), *turns(row, "completion", "assistant")]
    else:
        raise _unlike(row, "messages, or prompt and completion", ("messages", "prompt", "completion"))
    if messages[-1]["role"] != "assistant":
        raise DataError(f"{row.where}: the last message is of {messages[-1]['role']!r}: there is nothing to learn")
    return Conversation(messages, _extra(row), row.where)


def _prompt(row: Row) -> Prompt:
    if "prompt" in row.values:
        return Prompt(turns(row, "prompt", "user"), _extra(row), row.where)
    if "messages" not in row.values:
        raise _unlike(row, "prompt, or messages", ("prompt", "messages"))
    messages = _messages(row, "messages")
    if messages[-1]["role"] == "assistant":
        messages = messages[:-1]
    if not messages:
        raise DataError(f"{row.where}: there is no message before the assistant's to answer")
    return Prompt(messages, _extra(row), row.where)


def turns(row: Row, column: str, role: str) -> list[Message]:
    """The messages of a column, of which a plain text is one by `role`; raises `DataError`."""
    value = row.values[column]
    if isinstance(value, str):
        if not value:
            raise DataError(f"{row.where}: {column} is empty")
        return [{"role": role, "content": value}]
    return _messages(row, column)


def _messages(row: Row, column: str) -> list[Message]:
    value = row.values[column]
    if not isinstance(value, list) or not value:
        kind = "a list of messages" if column == "messages" else "text, or a list of messages"
        found = "nothing" if value in (None, []) else f"{value!r:.40}"
        raise DataError(f"{row.where}: {column} must be {kind}, not {found}", advice=f"for example {_SHAPE}")
    return [_message(item, f"{row.where}: {column}[{index}]") for index, item in enumerate(value)]


def _message(item: Any, where: str) -> Message:
    if not isinstance(item, dict) or not isinstance(item.get("content"), str):
        raise DataError(f"{where} must have a role and a text as content", advice=f"for example {_SHAPE}")
    if item.get("role") not in _ROLES:
        near = get_close_matches(str(item.get("role")), _ROLES, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"roles are {', '.join(_ROLES)}"
        raise DataError(f"{where}: no role is called {item.get('role')!r}", advice=hint)
    return {"role": item["role"], "content": item["content"]}


def _extra(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.values.items() if name not in {"messages", "prompt", "completion"}}


def _unlike(row: Row, expected: str, known: tuple[str, ...]) -> DataError:
    have = ", ".join(row.values) or "none"
    near = next((f"is {name!r} a slip of {match[0]!r}? " for name in row.values
                 if name not in known and (match := get_close_matches(name, known, n=1))), "")  # fmt: skip
    advice = f"{near}or map its columns: `data: {{columns: {{prompt: QUESTION, completion: ANSWER}}}}`"
    return DataError(f"{row.where}: expected {expected}; its columns are {have}", advice=advice)
