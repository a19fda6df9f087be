"""The last stage of `quantize`: prove that vLLM loads the weights, and take their probe there."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path

from poise import data
from poise.artifacts import probe
from poise.artifacts.probe import Probe, Scored
from poise.artifacts.task import Result, Task
from poise.data import evaluation
from poise.data.evaluation import Measured
from poise.errors import DataError, InternalError
from poise.serving.engine import OfflineEngine
from poise.serving.shape import Shape, engine_for


def run(task: Task) -> Result:
    """Write `probe.json` and, where the spec names `data.eval`, `evaluation.json` into `task.output`.

    The probe is of the very token ids of `reference.json`, which the first stage took of the base. The result is the
    first stage's.

    Raises:
        InternalError: vLLM refuses the weights, or answers with numbers that are none.
        DataError: an evaluation row does not fit into the model's context.
    """
    result = first_result(task.workdir / "result.json")
    reference = Probe.read(task.output / probe.REFERENCE_FILE)
    gpu = task.spec.resources.gpus > 0
    shape = Shape.read(task.output)
    engine = OfflineEngine(task.output, engine_for(shape, gpu=gpu, servers=1, cores=os.cpu_count() or 1))
    task.progress("probing in vLLM", 1, 2)
    take_probe(engine, reference).write(task.output / probe.FILE)
    if "data.eval" in task.inputs:
        evaluate(task, engine, shape.context)
    task.progress("probing in vLLM", 2, 2)
    return result


def first_result(path: Path) -> Result:
    """What the stage before handed on; raises `InternalError` where it did not."""
    try:
        return Result(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise InternalError(f"{path} is not the result of a stage", advice="run the same file again") from error


def take_probe(engine: OfflineEngine, reference: Probe) -> Probe:
    """Score the texts of another probe."""
    texts = [text.tokens for text in reference.prompts]
    scores = engine.score(texts)
    if not all(math.isfinite(logprob) for text in scores for logprob in text):
        raise InternalError(
            "vLLM answers with log-probabilities that are not finite numbers",
            advice="use more calibration rows, a smaller group_size, or the other format",
        )
    prompts = tuple(Scored(tuple(tokens), tuple(text)) for tokens, text in zip(texts, scores, strict=True))
    return Probe("vllm", engine.dtype, prompts)


def evaluate(task: Task, engine: OfflineEngine, context: int) -> None:
    """Ask the held-out questions, all in one batch."""
    source = task.spec.data
    asked = data.questions(data.read_rows(task.inputs["data.eval"], source.eval, source.columns))
    renderer = data.Renderer(task.output)
    room = data.answer_room(asked, renderer)
    prompts = [renderer.prompt(question.messages, question.where) for question in asked]
    references = data.references(asked, renderer)
    for question, prompt in zip(asked, prompts, strict=True):
        if len(prompt) + room > context:
            raise DataError(
                f"{question.where}: {len(prompt)} tokens and an answer of {room} are more than the model's {context}",
                advice="leave such rows out of data.eval",
            )
    answers = tuple(engine.answer(prompts, room))
    scores = engine.score([row.tokens for row in references]) if references else []
    counted = [
        logprob
        for row, text in zip(references, scores, strict=True)
        for logprob, counts in zip(text, row.mask[1:], strict=True)
        if counts
    ]
    logprob = math.fsum(counted) / len(counted) if counted else math.nan
    after = Measured(answers, evaluation.accuracy(answers, asked), logprob)
    evaluation.write_evaluation(task.output, asked, None, after)
