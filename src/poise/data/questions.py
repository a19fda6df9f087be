"""Held-out questions: what is asked, and when an answer counts as right. One rule for every engine."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from poise.data.formats import Conversation, Message, Prompt, prompts, turns
from poise.data.render import Rendered, Renderer
from poise.data.rows import Row
from poise.errors import DataError

# A minus sign counts only where nothing stands before it: in "7-12" the last number is 12.
_NUMBER = re.compile(r"(?:(?<![\w.)])-)?(?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?")


@dataclass(frozen=True)
class Question:
    """A prompt, the answer that counts as right, and the reference completion, where the row has one."""

    messages: list[Message]
    answer: str
    completion: str | None
    where: str

    @property
    def text(self) -> str:
        """The last thing the user says, for tables."""
        return self.messages[-1]["content"]


def questions(rows: Iterable[Row]) -> list[Question]:
    """Rows as questions; the column `answer` counts, or else the reference completion."""
    listed = list(rows)
    return [_question(prompt, row) for prompt, row in zip(prompts(listed), listed, strict=True)]


def _question(prompt: Prompt, row: Row) -> Question:
    completion = _completion(row)
    answer = row.values.get("answer", completion)
    if answer is None:
        raise DataError(f"{row.where}: has no answer to compare with", advice="add a column `answer`")
    return Question(prompt.messages, str(answer), completion, row.where)


def _completion(row: Row) -> str | None:
    if row.values.get("completion") is not None:
        return turns(row, "completion", "assistant")[-1]["content"]
    if row.values.get("messages") is None:
        return None
    last = turns(row, "messages", "user")[-1]
    return last["content"] if last["role"] == "assistant" else None


def answer_room(asked: Sequence[Question], renderer: Renderer) -> int:
    """Tokens an answer may take: twice the longest reference, at least 16; 256 without references."""
    lengths = [sum(row.mask) for row in references(asked, renderer)]
    return max(16, 2 * max(lengths)) if lengths else 256


def references(asked: Sequence[Question], renderer: Renderer) -> list[Rendered]:
    """The reference completions with their prompts, only the completion counted."""
    rows = []
    for question in asked:
        if question.completion is not None:
            messages = [*question.messages, {"role": "assistant", "content": question.completion}]
            rows.append(renderer.conversation(Conversation(messages, {}, question.where)))
    return rows


def last_number(text: str) -> float | None:
    """The last number in a text, thousands separators allowed; None where there is none."""
    found = _NUMBER.findall(text)
    return float(found[-1].replace(",", "")) if found else None


def is_correct(completion: str, answer: str) -> bool:
    """Whether a completion gives the answer: its last number where the answer ends in one, else its words."""
    expected = last_number(answer)
    if expected is not None and re.search(r"\d\W*$", answer):
        return last_number(completion) == expected
    return completion.split() == answer.split()
