"""References: how a file names a model, a data set or an artifact. One grammar for all of them.

::

    hf:ID[@REVISION][?config=NAME&split=SLICE]     a model or data set on the hub
    s3://BUCKET/KEY   gs://...   az://...          an object or a folder of objects
    builtin:NAME[?split=SLICE]                     shipped with Poise
    model:NAME@N                                   a published version
    artifact:sha256-HEX                            an artifact by its digest
    run:NAME   step:NAME                           what a run, or a step of the same pipeline, has made
    PATH[?split=SLICE]                             a file or folder, relative to the file that names it
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import get_close_matches
from urllib.parse import parse_qsl, urlencode

SCHEMES = ("hf", "builtin", "model", "artifact", "run", "step", "s3", "gs", "az")
_PARAMETERS = ("config", "split")
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_SHAPES = {
    "hf": (re.compile(rf"{_NAME}(/{_NAME})?(@[A-Za-z0-9._/-]+)?"), "hf:ORGANIZATION/NAME[@REVISION]"),
    "builtin": (re.compile(r"[a-z0-9-]+"), "builtin:NAME"),
    "model": (re.compile(rf"{_NAME}@[1-9][0-9]*"), "model:NAME@VERSION, for example model:arithmetic@1"),
    "artifact": (re.compile(r"sha256-[0-9a-f]{64}"), "artifact:sha256-HEX, 64 hexadecimal digits"),
    "run": (re.compile(_NAME), "run:NAME"),
    "step": (re.compile(_NAME), "step:NAME"),
}


@dataclass(frozen=True)
class Reference:
    """A parsed reference: `scheme` is `path` for a local file, and `target` is what stands after the scheme."""

    scheme: str
    target: str
    parameters: dict[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read one reference; raises `ValueError` that says which form was expected."""
        scheme, rest = _split_scheme(text.strip())
        target, parameters = _split_parameters(rest)
        if not target:
            raise ValueError(f"{text!r} names nothing")
        if shape := _SHAPES.get(scheme):
            pattern, example = shape
            if not pattern.fullmatch(target):
                raise ValueError(f"{text!r} is not of the form {example}")
        return cls(scheme, target, parameters)

    @property
    def split(self) -> str | None:
        return self.parameters.get("split")

    def __str__(self) -> str:
        query = f"?{urlencode(self.parameters, safe=':[]%,/')}" if self.parameters else ""
        if self.scheme == "path":
            return f"{self.target}{query}"
        separator = "://" if self.scheme in {"s3", "gs", "az"} else ":"
        return f"{self.scheme}{separator}{self.target}{query}"


def _split_scheme(text: str) -> tuple[str, str]:
    match = re.match(r"([A-Za-z][A-Za-z0-9+-]*):(//)?", text)
    if match is None:
        return "path", text
    scheme = match.group(1)
    if scheme == "file":
        return "path", text[match.end() :]
    if scheme not in SCHEMES:
        near = get_close_matches(scheme, SCHEMES, n=1)
        hint = f"; did you mean {near[0]}:?" if near else f"; use a path or one of {', '.join(SCHEMES)}"
        raise ValueError(f"{scheme!r} in {text!r} is no kind of reference{hint}")
    return scheme, text[match.end() :]


def _split_parameters(text: str) -> tuple[str, dict[str, str]]:
    target, question, query = text.partition("?")
    parameters: dict[str, str] = {}
    if not question:
        return target, parameters
    # "%" stands for itself in a slice such as train[:90%], so only well-formed escapes are decoded.
    for key, value in parse_qsl(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", query), keep_blank_values=True):
        if key not in _PARAMETERS:
            near = get_close_matches(key, _PARAMETERS, n=1)
            raise ValueError(f"{key!r} is no parameter of a reference{f'; did you mean {near[0]}?' if near else ''}")
        parameters[key] = value
    return target, parameters
