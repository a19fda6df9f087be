"""Ask the builtin model held-out questions in several ways: what was measured, as JSON."""

import json
import math
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from poise import builtin
from poise.data import Question, answer_room, questions, read_rows
from poise.evaluate.held_out import measure
from poise.evaluate.rendering import renderer


def alone(model: Any, tokenizer: Any, question: Question) -> tuple[str, list[float]]:
    """One question without batching: the greedy answer, and the log-probability of each reference token."""
    prompt = tokenizer.apply_chat_template(
        question.messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )["input_ids"]
    made = model.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=16, do_sample=False)
    reference = tokenizer(question.completion, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]
    ids = torch.cat([prompt, torch.tensor([reference])], dim=1)
    logprobs = model(ids).logits[0, prompt.shape[1] - 1 : -1].log_softmax(-1)
    scores = [logprobs[index, token].item() for index, token in enumerate(reference)]
    return tokenizer.decode(made[0, prompt.shape[1] :], skip_special_tokens=True), scores


if __name__ == "__main__":
    torch.set_num_threads(1)
    base = builtin.path("tiny")
    model = AutoModelForCausalLM.from_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(base)
    asked = questions(read_rows(builtin.path("sums"), "builtin:sums?split=test", {}))
    model.train()
    found = measure(model, renderer(base), asked, answer_room(asked, renderer(base)))
    with torch.no_grad():
        one_by_one = [alone(model, tokenizer, question) for question in asked]
    scores = [score for _, listed in one_by_one for score in listed]
    silent = measure(model, renderer(base), [Question(q.messages, q.answer, None, q.where) for q in asked[:2]], 4)
    print("\n" + json.dumps({
        "answers": found.answers, "accuracy": found.accuracy, "logprob": found.logprob, "training": model.training,
        "alone": [text for text, _ in one_by_one], "alone_logprob": math.fsum(scores) / len(scores),
        "expected": [question.answer for question in asked],
        "without_references": silent.as_json(), "cut": silent.answers,
    }))  # fmt: skip
