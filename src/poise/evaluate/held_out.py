"""Held-out questions asked of a Transformers model: greedy answers, and the log-probability of reference answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer

from poise.artifacts.task import Task
from poise.data import Question, Rendered, Renderer, answer_room, questions, read_rows, references
from poise.data.evaluation import Measured, accuracy
from poise.evaluate.rendering import renderer

_BATCH = 64


@dataclass(frozen=True)
class HeldOut:
    """The held-out questions of a task, and how a model of its base is asked them."""

    asked: list[Question]
    renderer: Renderer
    room: int

    @classmethod
    def read(cls, task: Task) -> HeldOut | None:
        """None where the spec names no held-out rows. Read before training, so that a bad row is found at once."""
        data = task.spec.data
        if data is None or data.eval is None:
            return None
        asked = questions(read_rows(task.inputs["data.eval"], data.eval, data.columns))
        rendering = renderer(task.inputs["base"])
        return cls(asked, rendering, answer_room(asked, rendering))

    def measure(self, model: Any) -> Measured:
        return measure(model, self.renderer, self.asked, self.room)


@torch.no_grad()
def measure(model: Any, renderer: Renderer, asked: Sequence[Question], room: int) -> Measured:
    """Ask every question greedily and score the reference completions. Training mode is left as it was found."""
    was_training = model.training
    model.eval()
    try:
        answers = [text for batch in _batches(asked) for text in _answers(model, renderer, batch, room)]
        scored = [pair for batch in _batches(references(asked, renderer)) for pair in _scores(model, batch)]
    finally:
        model.train(was_training)
    tokens = sum(count for _, count in scored)
    logprob = math.fsum(total for total, _ in scored) / tokens if tokens else math.nan
    return Measured(tuple(answers), accuracy(answers, asked), logprob)


def _batches(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for begin in range(0, len(items), _BATCH):
        yield items[begin : begin + _BATCH]


def _answers(model: Any, renderer: Renderer, asked: Sequence[Question], room: int) -> list[str]:
    prompts = [renderer.prompt(question.messages, question.where) for question in asked]
    width = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts], device=model.device)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=model.device)
    ends = _ends(model, renderer)
    made = model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=room,
        do_sample=False,
        # What a model's own settings say of sampling would only be warned about.
        temperature=None,
        top_p=None,
        top_k=None,
        pad_token_id=min(ends),
        eos_token_id=sorted(ends),
    )
    tokenizer = renderer.tokenizer
    return [_decode(tokenizer, row.tolist(), ends) for row in made[:, width:]]


def _ends(model: Any, renderer: Renderer) -> set[int]:
    """Whatever ends an answer: what the model's settings name, and what its tokenizer does."""
    named = model.generation_config.eos_token_id
    return {*(named if isinstance(named, list) else [named]), renderer.end_token} - {None}


def _decode(tokenizer: Tokenizer, tokens: list[int], ends: set[int]) -> str:
    stop = next((index for index, token in enumerate(tokens) if token in ends), len(tokens))
    text: str = tokenizer.decode(tokens[:stop], skip_special_tokens=True)
    return text


def _scores(model: Any, rows: Sequence[Rendered]) -> list[tuple[float, int]]:
    """For each row the summed log-probability of its counted tokens, in nats, and their number."""
    width = max(len(row.tokens) for row in rows)
    ids = torch.tensor([row.tokens + [0] * (width - len(row.tokens)) for row in rows], device=model.device)
    counted = torch.tensor([row.mask + [0] * (width - len(row.mask)) for row in rows], device=model.device)[:, 1:]
    attended = torch.tensor([[1] * len(r.tokens) + [0] * (width - len(r.tokens)) for r in rows], device=model.device)
    logits = model(input_ids=ids, attention_mask=attended, use_cache=False).logits[:, :-1]
    logprobs = logits.float().log_softmax(-1).gather(-1, ids[:, 1:, None]).squeeze(-1)
    totals = (logprobs * counted).sum(1)
    return list(zip(totals.tolist(), counted.sum(1).tolist(), strict=True))
