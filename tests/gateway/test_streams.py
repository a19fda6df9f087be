from __future__ import annotations

import json
import socket
import threading

import httpx
import openai
import pytest

HELLO = [{"role": "user", "content": "hello"}]


def events(content: bytes) -> list[str]:
    """The data of each event, as a client reads them: lines up to a blank one."""
    found = []
    for event in content.decode().replace("\r\n", "\n").split("\n\n"):
        data = [line.removeprefix("data: ") for line in event.split("\n") if line.startswith("data: ")]
        if data:
            found.append("\n".join(data))
    return found


def test_a_server_that_dies_in_mid_stream_ends_it_with_an_error_event(gateway):
    answer = gateway.post(stream=True, do="die")
    word, error = map(json.loads, events(answer.content))
    assert word["choices"][0]["delta"]["content"] == "Good"
    assert error["error"]["code"] == "upstream_broken"


def test_the_official_client_raises_on_that_event(gateway):
    stream = gateway.openai().chat.completions.create(
        model="sums", messages=HELLO, stream=True, extra_body={"do": "die"}
    )
    assert next(stream).choices[0].delta.content == "Good"
    with pytest.raises(openai.APIError, match="broke off"):
        next(stream)


def test_a_stream_without_its_last_event_is_an_error_too(gateway):
    got = events(gateway.post(stream=True, do="fall 2").content)
    assert json.loads(got[-1])["error"]["code"] == "upstream_broken"
    assert len(got) == 3


@pytest.mark.parametrize(
    ("do", "stream", "status", "code"),
    [
        ("die", False, 502, "upstream_broken"),
        ("fall 0", True, 502, "upstream_broken"),
        ("crash", False, 500, "upstream_error"),
        ("crash", True, 500, "upstream_error"),
        ("refuse 400", False, 400, None),
        ("refuse 400", True, 400, None),
        ("refuse 429", True, 429, None),
        ("refuse 503", True, 503, "upstream_error"),
        ("refuse 404", False, 502, "upstream_refused"),
        ("refuse 401", False, 502, "upstream_refused"),
        ("refuse 307", False, 502, "upstream_refused"),
        ("fail", True, 400, None),
    ],
)
def test_what_fails_before_the_first_word_has_an_honest_status(gateway, do, stream, status, code):
    answer = gateway.post(do=do, stream=stream)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert "/models/secret" not in answer.text
    assert "x-request-id" in answer.headers


def test_a_servers_refusal_keeps_its_words_and_its_parameter(gateway):
    with pytest.raises(openai.BadRequestError, match="cannot do it with <path>") as error:
        gateway.openai().chat.completions.create(model="sums", messages=HELLO, extra_body={"do": "refuse 400"})
    assert error.value.param == "prompt"


def test_a_busy_server_is_worth_another_try(gateway):
    assert gateway.post(do="refuse 503").headers["retry-after"] == "1"


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_hangs_up_stops_the_server(gateway, stream):
    body = json.dumps({"model": "sums", "stream": stream, "do": "wait"}).encode()
    with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])), timeout=10) as raw:
        head = ["POST /v1/chat/completions HTTP/1.1", "host: a", f"authorization: Bearer {gateway.key}"]
        head += ["content-type: application/json", f"content-length: {len(body)}", "", ""]
        raw.sendall("\r\n".join(head).encode() + body)
        assert gateway.model_server.begun.wait(10)
        assert not gateway.model_server.abandoned.is_set()
    assert gateway.model_server.abandoned.wait(10)


def test_the_first_word_does_not_wait_for_the_second(gateway):
    body = {"model": "sums", "stream": True, "do": "wait"}
    url = f"{gateway.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=body, headers=gateway.headers, timeout=30) as answer:
        pieces = answer.iter_bytes()
        assert b"Good" in next(pieces)
        assert not gateway.model_server.abandoned.is_set()


def test_a_silent_server_is_a_504(place):
    place.start(silence_seconds=0.3)
    answer = place.post(do="wait")
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_silent")
    assert place.model_server.abandoned.wait(10)


def test_a_server_that_falls_silent_in_mid_stream_ends_it_with_an_error_event(place):
    place.start(silence_seconds=0.3)
    got = events(place.post(do="wait", stream=True).content)
    assert json.loads(got[-1])["error"]["code"] == "upstream_silent"


def test_many_streams_at_once_do_not_mix(gateway):
    answers: dict[str, list[str]] = {}

    def call(model: str) -> None:
        content = gateway.post(model=model, stream=True, do="drip 10").content
        answers[model] = [json.loads(data)["model"] for data in events(content)[:-1]]

    callers = [threading.Thread(target=call, args=(model,)) for model in ("sums@1", "sums@2", "tiny")]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(30)
    assert answers == {model: [model] * 10 for model in ("sums@1", "sums@2", "tiny")}
