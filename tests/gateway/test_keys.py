from __future__ import annotations

import json
import re

import openai
import pytest

from poise.artifacts import keys
from poise.errors import UserError
from poise_gateway.__main__ import build
from poise_gateway.settings import Settings


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer sk-poise-wrong",
        "Basic KEY",
        "KEY",
        "Bearer KEYx",
        "Bearer \xff",
    ],
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/models", "/nothing", "/openapi.json"])
def test_without_a_good_key_all_is_401(gateway, header, path):
    headers = {} if header is None else {"authorization": header.replace("KEY", gateway.key).encode("latin-1")}
    answer = gateway.client.post(gateway.url + path, json={"model": "tiny"}, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "invalid_api_key")
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert gateway.model_server.bodies == []


def test_the_official_client_knows_the_401(gateway):
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk-poise-no").models.list()


def test_the_key_never_reaches_the_server(gateway):
    gateway.post()
    assert gateway.key not in json.dumps(gateway.model_server.headers)
    assert "authorization" not in gateway.model_server.headers[0]


def test_a_revoked_key_is_refused_and_a_new_one_is_taken_without_a_restart(place, wait_until):
    place.start()
    _, fresh = keys.create_key(place.store, "fresh")
    old = place.headers
    keys.revoke_key(place.store, "tests")
    wait_until(lambda: place.client.get(f"{place.url}/v1/models", headers=old).status_code == 401)
    place.key = fresh
    assert place.get("/v1/models").status_code == 200


def test_no_start_without_a_key_unless_told_so(place):
    keys.revoke_key(place.store, "tests")
    settings = {"store": place.store.url, "servers": place.servers, "bind": "127.0.0.1:0"}
    with pytest.raises(UserError, match="POISE_GATEWAY_OPEN=1"):
        build(Settings(**settings))
    place.start(open=True)
    assert place.client.get(f"{place.url}/v1/models").status_code == 200


def test_the_access_log_has_one_line_of_json_and_no_secrets(place, capsys):
    place.start()
    capsys.readouterr()
    answer = place.post("/v1/chat/completions?api_key=hunter2", stream=True, messages=["my secret"])
    place.post(model="nothing")
    out = capsys.readouterr().out
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["status"] for line in lines] == [200, 404]
    assert lines[0]["request"] == answer.headers["x-request-id"]
    assert lines[0]["model"] == "sums@1"
    assert (lines[0]["prompt_tokens"], lines[0]["completion_tokens"]) == (5, 3)
    assert lines[0]["key"] == keys.list_keys(place.store)[0].id
    assert (lines[1]["error"], lines[1]["model"]) == ("model_not_found", "")
    assert not re.search(f"{place.key}|hunter2|secret|Good", out)
