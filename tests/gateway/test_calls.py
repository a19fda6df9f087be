from __future__ import annotations

import json

import openai
import pytest


def test_a_call_reaches_the_version_behind_its_alias(gateway):
    answer = gateway.openai().chat.completions.create(
        model="sums", messages=[{"role": "user", "content": "hello"}], temperature=0.5
    )
    assert answer.choices[0].message.content == "Good day!"
    assert answer.model == "sums@1"
    assert answer.usage.completion_tokens == 3
    assert gateway.model_server.bodies == [
        {"model": "sums@1", "messages": [{"role": "user", "content": "hello"}], "temperature": 0.5}
    ]


def test_a_stream_arrives_word_by_word(gateway):
    stream = gateway.openai().chat.completions.create(
        model="sums@2", messages=[{"role": "user", "content": "hello"}], stream=True
    )
    chunks = list(stream)
    assert [c.choices[0].delta.content for c in chunks if c.choices] == ["Good", " day", "!"]
    assert {c.model for c in chunks} == {"sums@2"}


def test_a_stream_is_the_servers_byte_for_byte(gateway):
    direct = gateway.client.post(
        f"{gateway.model_server_url}/v1/chat/completions", json={"model": "sums@1", "stream": True}
    )
    assert gateway.post(model="sums@1", stream=True).content == direct.content


def test_completions_are_proxied_too(gateway):
    answer = gateway.openai().completions.create(model="tiny", prompt="1 + 1 =")
    assert answer.choices[0].text == "Good day!"
    assert gateway.model_server.paths == ["/v1/completions"]


@pytest.mark.parametrize("stream", [False, True])
def test_the_answer_names_the_version_and_the_request(gateway, stream):
    answer = gateway.post(stream=stream)
    assert answer.headers["x-poise-model"] == "sums@1"
    assert answer.headers["x-request-id"] == gateway.model_server.headers[0]["x-request-id"]
    assert answer.headers["content-type"] == ("text/event-stream; charset=utf-8" if stream else "application/json")


def test_the_servers_other_headers_stay_behind(gateway):
    answer = gateway.post()
    assert "x-internal" not in answer.headers
    assert "set-cookie" not in answer.headers
    assert "server" not in answer.headers


def test_the_clients_other_headers_stay_behind(gateway):
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    body = json.dumps({"model": "tiny"}).encode()
    sent = {"x-request-id": "mine", "cookie": "a=b", "x-forwarded-for": "1.2.3.4", "traceparent": trace}
    answer = gateway.post_bytes(body, **sent)
    got = gateway.model_server.headers[0]
    assert answer.headers["x-request-id"] != "mine"
    assert got["x-request-id"] == answer.headers["x-request-id"]
    assert got["traceparent"] == trace
    assert set(got) == {"host", "content-type", "content-length", "accept", "traceparent", "x-request-id"}


@pytest.mark.parametrize("stream", [False, True])
def test_a_path_on_the_server_is_not_told(gateway, stream):
    answer = gateway.post(stream=stream, do="answer /models/tiny")
    assert b"/models" not in answer.content
    assert b'"model": "sums@1"' in answer.content


def test_text_that_looks_like_usage_is_left_alone(gateway):
    text = 'she said "usage": {"prompt_tokens": 99}'
    gateway.post(messages=[{"role": "user", "content": text}])
    assert gateway.model_server.bodies[0]["messages"][0]["content"] == text


def test_models_lists_what_can_be_called(gateway):
    listed = list(gateway.openai().models.list())
    assert [model.id for model in listed] == ["sums", "sums@1", "sums@2", "tiny"]
    assert {model.owned_by for model in listed} == {"poise"}
    assert gateway.openai().models.retrieve("sums@2").created == 1795168800


def test_an_unknown_model_is_a_404_with_the_nearest_names(gateway):
    client = gateway.openai()
    with pytest.raises(openai.NotFoundError, match="Did you mean sums@1") as error:
        client.chat.completions.create(model="sums@11", messages=[])
    assert (error.value.code, error.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.models.retrieve("nothing-like-it")


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "/models/tiny", "sums@1/../sums@2", "SUMS@1", "x" * 9999])
def test_only_names_in_the_table_reach_a_server(gateway, name):
    answer = gateway.post(model=name)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")
    assert len(answer.content) < 1000
    assert gateway.model_server.bodies == []


@pytest.mark.parametrize("path", ["/", "/v1/chat/completions/", "/v1/load_lora_adapter", "/invocations", "/tokenize"])
def test_other_paths_are_404_in_the_apis_shape(gateway, path):
    answer = gateway.post(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert gateway.model_server.bodies == []


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/chat/completions"), ("DELETE", "/v1/models")])
def test_other_methods_are_405_in_the_apis_shape(gateway, method, path):
    answer = gateway.client.request(method, gateway.url + path, headers=gateway.headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (405, "method_not_allowed")
    assert answer.headers["allow"] in ("POST", "GET")
