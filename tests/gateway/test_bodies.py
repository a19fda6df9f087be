from __future__ import annotations

import json
import socket

import pytest

LIMIT = 8 * 1024 * 1024


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[1]", b'"tiny"', b"null", b"7", b"\xff\xfe{", b"[" * 100_000,
        b'{"model": "tiny", "temperature": NaN}',
        b'{"model": "tiny", "temperature": Infinity}',
        b'{"model": "tiny", "temperature": -Infinity}',
        b'{"model": "tiny", "temperature": 1e999}',
        b'{"model": "tiny", "seed": ' + b"9" * 5000 + b"}",
    ],
)  # fmt: skip
def test_what_is_not_an_object_of_finite_numbers_is_refused(gateway, body):
    answer = gateway.post_bytes(body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert gateway.model_server.bodies == []


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 7}, "model"),
        ({"model": ["tiny"]}, "model"),
        ({"stream": "yes"}, "stream"),
        ({"stream": 1}, "stream"),
        ({"n": 0}, "n"),
        ({"n": 9}, "n"),
        ({"n": 1.0}, "n"),
        ({"n": True}, "n"),
        ({"best_of": 200}, "best_of"),
        ({"request_id": "mine"}, "request_id"),
        ({"kv_transfer_params": {}}, "kv_transfer_params"),
    ],
)
def test_a_bad_field_is_named(gateway, fields, param):
    answer = gateway.post(**fields)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
    assert gateway.model_server.bodies == []


def test_a_body_without_a_model_is_refused(gateway):
    assert gateway.post_bytes(b"{}").json()["error"]["param"] == "model"


@pytest.mark.parametrize("field", ["guided_json", "guided_regex", "guided_choice", "guided_grammar"])
def test_a_field_that_servers_ignore_is_refused_with_its_new_name(gateway, field):
    error = gateway.post(**{field: "x"}).json()["error"]
    assert error["param"] == field
    assert f'"structured_outputs": {{"{field.removeprefix("guided_")}"' in error["message"]


def test_good_fields_pass_unchanged(gateway):
    fields = {"n": 8, "stream": None, "seed": 10**30, "top_p": 0.1, "stop": ["😀", "é"], "unknown": {"a": 1}}
    assert gateway.post(**fields).status_code == 200
    got = gateway.model_server.bodies[0]
    assert {name: got[name] for name in fields} == fields


def test_of_a_repeated_field_only_the_one_that_was_checked_is_sent(gateway):
    assert gateway.post_bytes(b'{"model": "nothing", "n": 99, "model": "tiny", "n": 1}').status_code == 200
    assert gateway.model_server.bodies == [{"model": "tiny", "n": 1}]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_only_json_is_taken(gateway, kind):
    answer = gateway.post_bytes(b'{"model": "tiny"}', **{"content-type": kind})
    assert answer.status_code == 415
    assert gateway.post_bytes(b'{"model": "tiny"}', **{"content-type": "Application/JSON; a=b"}).status_code == 200


def test_a_body_over_the_limit_is_refused_by_its_announced_length(gateway):
    with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2])), timeout=10) as raw:
        raw.sendall(_head(gateway.key, f"content-length: {LIMIT + 1}"))
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 413 ")


def test_a_body_over_the_limit_is_refused_as_it_arrives(place):
    place.start(max_body_bytes=1000)
    inside = json.dumps({"model": "tiny", "p": "x" * 900}).encode()
    assert place.post_bytes(inside).status_code == 200

    def pieces():
        yield from [b"x" * 500] * 3

    assert place.post_bytes(pieces()).status_code == 413


@pytest.fixture
def impatient(place):
    return place.start(header_seconds=0.3, body_seconds=0.3)


def _head(key: str, *more: str) -> bytes:
    lines = ["POST /v1/chat/completions HTTP/1.1", "host: a", f"authorization: Bearer {key}"]
    return "\r\n".join([*lines, "content-type: application/json", *more, "", ""]).encode()


def _until_closed(url: str, *sent: bytes) -> bytes:
    """All that is answered to bytes which are not followed by more; fails if the connection stays open."""
    with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=10) as raw:
        for data in sent:
            raw.sendall(data)
        return b"".join(iter(lambda: raw.recv(65536), b""))


def test_a_slow_body_is_a_408_and_ends_the_connection(impatient):
    answer = _until_closed(impatient.url, _head(impatient.key, "content-length: 100"), b'{"model"')
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code": "request_timeout"' in answer


@pytest.mark.parametrize("sent", [b"", b"POST /v1/chat", b"POST / HTTP/1.1\r\nhost: a\r\n", b"\r\n"])
def test_a_slow_head_ends_the_connection(impatient, sent):
    assert _until_closed(impatient.url, sent) == b""


def test_a_slow_second_head_ends_the_connection(impatient):
    with socket.create_connection(("127.0.0.1", int(impatient.url.rpartition(":")[2])), timeout=4) as raw:
        raw.sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        answer = b""
        while b"alive" not in answer:
            answer += raw.recv(65536)
        raw.sendall(b"GET /hea")
        assert b"".join(iter(lambda: raw.recv(65536), b"")) in (b"", b'"}')


def test_a_head_without_end_ends_the_connection(place):
    place.start(header_seconds=600)
    with socket.create_connection(("127.0.0.1", int(place.url.rpartition(":")[2])), timeout=10) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nx-filler: ")
        with pytest.raises(ConnectionError):
            for _ in range(2000):
                raw.sendall(b"a" * 50_000)


def test_a_head_in_time_may_have_a_long_answer(impatient):
    assert b"[DONE]" in impatient.post(stream=True, do="drip 12").content
