"""Server-sent events on their way through: cut at line ends, so that a broken stream can still be ended well."""

from __future__ import annotations

import re

_DONE = b"data: [DONE]"
_ERROR = re.compile(rb'\s*data:\s*(\{\s*"error".*)')


class Lines:
    """Holds back a line that is not whole yet. `done` once the stream's own last event went by."""

    def __init__(self) -> None:
        self._held = b""
        self.done = False

    def feed(self, data: bytes) -> bytes:
        """The whole lines among what came so far, b"" when there is none."""
        if self._held:
            data = self._held + data
            self._held = b""
        if data[-1:] != b"\n":
            cut = data.rfind(b"\n") + 1
            data, self._held = data[:cut], data[cut:]
        if _DONE in data:
            self.done = True
        return data


def error_event(body: bytes) -> bytes:
    """The blank line first ends an event of which only some lines went out."""
    return b"\ndata: " + body + b"\n\n"


def leading_error(data: bytes) -> bytes | None:
    """The JSON of a stream that begins with an error."""
    match = _ERROR.match(data)
    return match[1] if match else None
