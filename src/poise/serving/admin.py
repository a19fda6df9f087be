"""A client for what a model server answers its operator: is it ready, what does it hold, load this."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

import httpx

from poise.errors import InternalError, NotFound, StoreUnavailable, UserError, WorkerFailed
from poise.serving.process import Child

_POLL = 0.1
# What vLLM says when it cannot start -> what to do about it.
_ADVICE = (
    ("address already in use", "another process has taken the port: start again"),
    ("libnuma", "install libnuma1 (Debian and Ubuntu: apt-get install libnuma1)"),
    ("libtorchvision", "`poise env sync serve` makes the environment anew"),
    ("out of memory", "free memory, or serve fewer versions at once"),
    ("cannot allocate memory", "free memory, or serve fewer versions at once"),
    ("no space left on device", "free some space on the disk"),
    ("head_dim", "vLLM's CPU kernels take head sizes in multiples of 32: serve this model on a GPU"),
    ("head size", "vLLM's CPU kernels take head sizes in multiples of 32: serve this model on a GPU"),
)


class Admin:
    """Synchronous; close it, or use it as a context manager."""

    def __init__(self, url: str, transport: httpx.BaseTransport | None = None) -> None:
        self._http = httpx.Client(base_url=url, timeout=30.0, transport=transport, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    def is_ready(self, path: str = "/health") -> bool:
        """Whether the server answers 200; False also where nobody listens yet."""
        try:
            return self._http.get(path).is_success
        except httpx.TransportError:
            return False

    def models(self) -> list[str]:
        """The names that the server knows: of its weights, and of the adapters it has loaded so far."""
        reply = self._http.get("/v1/models").raise_for_status()
        return [str(model["id"]) for model in reply.json()["data"]]

    def load(self, served_name: str) -> None:
        """Have the server find and load an adapter now rather than at its first request.

        Raises what the resolver would tell a client: `NotFound`, `UserError`, `StoreUnavailable` or `InternalError`.
        """
        # Of all requests that name a model, counting tokens is the cheapest.
        reply = self._http.post("/tokenize", json={"model": served_name, "prompt": ""})
        if reply.is_success:
            return
        kind = {404: NotFound, 503: StoreUnavailable}.get(reply.status_code, UserError)
        raise (InternalError if reply.status_code == 500 else kind)(_message(reply))


def wait_ready(admin: Admin, child: Child, timeout: float, path: str = "/health") -> None:
    """Wait until the server of `child` is ready.

    Raises `WorkerFailed` with the end of its log where it dies or is not ready after `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    while not admin.is_ready(path):
        if (code := child.exit_code) is not None:
            raise failure(child, f"ended with exit code {code} instead of getting ready")
        if time.monotonic() > deadline:
            raise failure(child, f"is not ready after {timeout:.0f} seconds")
        time.sleep(_POLL)


def failure(child: Child, what: str) -> WorkerFailed:
    """The error for a server that went wrong, with the end of its log and advice where the cause is known."""
    log = child.log.read_text(errors="replace").lower()
    known = next((advice for sign, advice in _ADVICE if sign in log), "")
    return WorkerFailed(
        f"the server {child.name} {what}; its last words:\n{child.last_lines()}",
        advice=f"{known}\nthe whole log is {child.log}".strip(),
    )


def _message(reply: httpx.Response) -> str:
    try:
        return str(reply.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {reply.status_code}: {reply.text[:300]}"
