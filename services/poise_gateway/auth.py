"""Who may call: a bearer key whose digest is among those of the store."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Scope

from poise.artifacts import keys
from poise_gateway.errors import ApiError

_CHALLENGE = {"www-authenticate": 'Bearer realm="poise"'}


def authenticate(scope: Scope, known: Mapping[str, str]) -> str:
    """The id of the key in the request's headers. `known` maps sha256 digests to ids.

    Raises `ApiError` 401. The time that a look-up by digest takes tells nothing about any key.
    """
    for name, value in scope["headers"]:
        if name == b"authorization":
            scheme, _, key = value.decode("latin-1").partition(" ")
            found = known.get(keys.digest(key.strip())) if scheme.lower() == "bearer" else None
            if found is None:
                break
            return found
    raise ApiError(
        401,
        "The API key is missing or not valid.",
        advice="Send it as `Authorization: Bearer sk-poise-...`.",
        code="invalid_api_key",
        headers=_CHALLENGE,
    )
