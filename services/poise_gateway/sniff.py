"""What is read from an answer in passing, without parsing it: its token counts, and paths not to be told."""

from __future__ import annotations

import re

_USAGE = re.compile(rb'"usage":\s*\{([^{}]*)')
_PROMPT = re.compile(rb'"prompt_tokens":\s*(\d+)')
_COMPLETION = re.compile(rb'"completion_tokens":\s*(\d+)')
_MODEL_PATH = re.compile(rb'"model":\s*"(/[^"]+)"')
_PATH = re.compile(r"(?<![\w/:.])/(?!v1/)[\w.@+-]+(?:/[\w.@+-]+)+")


def token_counts(data: bytes) -> tuple[int, int] | None:
    """(prompt, completion) of the first usage object. Text inside an answer has its quotes escaped, so it
    cannot pass for one."""
    usage = _USAGE.search(data)
    if usage is None:
        return None
    prompt, completion = _PROMPT.search(usage[1]), _COMPLETION.search(usage[1])
    return (int(prompt[1]) if prompt else 0, int(completion[1]) if completion else 0)


def model_path(data: bytes) -> bytes | None:
    """The model's name in an answer where that is a path on the server."""
    match = _MODEL_PATH.search(data)
    return match[1] if match else None


def without_paths(message: str) -> str:
    return _PATH.sub("<path>", message)
