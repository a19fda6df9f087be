"""Refusals, and the shape they take on the wire: the error object of OpenAI's API."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType

from poise.errors import PoiseError

NO_HEADERS: Mapping[str, str] = MappingProxyType({})
RETRY_SOON: Mapping[str, str] = MappingProxyType({"retry-after": "1"})
CLOSE: Mapping[str, str] = MappingProxyType({"connection": "close"})


class ApiError(PoiseError):
    """An answer that is an error: its HTTP status, and what OpenAI's clients read from the body.

    `kind` is the body's `type`; `code` and `param` may be None there.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        advice: str | None = None,
        kind: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] = NO_HEADERS,
    ) -> None:
        super().__init__(message, advice=advice)
        self.status = status
        self.kind = kind
        self.code = code
        self.param = param
        self.headers = headers

    def body(self) -> bytes:
        text = f"{self.message} {self.advice}" if self.advice else self.message
        error = {"message": text, "type": self.kind, "param": self.param, "code": self.code}
        return json.dumps({"error": error}).encode()


class ClientGone(PoiseError):
    """The client closed its connection before the answer was complete; there is nobody to tell."""


def invalid(message: str, *, param: str | None = None, advice: str | None = None) -> ApiError:
    return ApiError(400, message, param=param, advice=advice)


def overdue(message: str) -> ApiError:
    """A client that sends too slowly; its connection ends, since the rest of the body may still come."""
    return ApiError(408, message, code="request_timeout", headers=CLOSE)


def upstream_failed(status: int, message: str, *, code: str) -> ApiError:
    headers = RETRY_SOON if status == 503 else NO_HEADERS
    return ApiError(status, message, kind="server_error", code=code, headers=headers)


def internal() -> ApiError:
    return ApiError(
        500,
        "The gateway failed on this request.",
        advice="The gateway's log has the reason under this answer's x-request-id.",
        kind="server_error",
        code="internal_error",
    )


def stopping() -> ApiError:
    return upstream_failed(503, "The gateway is shutting down.", code="shutting_down")


def not_found(path: str) -> ApiError:
    return ApiError(404, f"There is nothing at {path[:200]}.", code="not_found")


def method_not_allowed(allowed: str) -> ApiError:
    message = f"The method is not allowed here, only {allowed}."
    return ApiError(405, message, code="method_not_allowed", headers={"allow": allowed})
