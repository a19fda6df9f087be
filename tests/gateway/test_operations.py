from __future__ import annotations

import socket

import httpx
import pytest

from poise.artifacts import aliases
from poise.errors import NotFound


def value(place, series: str) -> float:
    """A series of /metrics; 0 where it does not exist yet."""
    for line in place.client.get(f"{place.url}/metrics").text.splitlines():
        if line.startswith(series + " "):
            return float(line.split(" ")[-1])
    return 0.0


@pytest.fixture
def nobody() -> str:
    """A URL on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    return f"http://127.0.0.1:{port}"


def test_alive_and_ready_need_no_key(gateway):
    assert gateway.client.get(f"{gateway.url}/healthz").json() == {"status": "alive"}
    ready = gateway.client.get(f"{gateway.url}/readyz").json()
    assert ready.pop("table_age_seconds") < 60
    assert ready == {
        "status": "ready",
        "servers": {"healthy": 1, "known": 1},
        "models": 4,
        "problems": 0,
        "store": "ok",
    }


def test_not_ready_while_no_server_is_healthy(place, wait_until):
    place.start()
    place.model_server.health = 503
    wait_until(lambda: place.client.get(f"{place.url}/readyz").status_code == 503)
    assert place.client.get(f"{place.url}/healthz").status_code == 200
    place.model_server.health = 200
    wait_until(lambda: place.client.get(f"{place.url}/readyz").status_code == 200)


def test_an_alias_moves_without_a_restart(place, wait_until):
    place.start()
    assert place.post().headers["x-poise-model"] == "sums@1"
    aliases.promote(place.store, "sums", "sums@2")
    wait_until(lambda: place.post().headers["x-poise-model"] == "sums@2")


def test_a_published_version_appears_and_a_deleted_one_goes(place, publish, wait_until):
    place.start()
    publish(place.store, "sums@3")
    wait_until(lambda: place.post(model="sums@3").status_code == 200)
    place.store.delete("models/sums/3.json")
    wait_until(lambda: place.post(model="sums@3").status_code == 404)


def test_the_servers_file_is_followed(place, wait_until):
    place.start()
    place.write_servers({"name": "other", "url": place.model_server_url, "base": "hf:x@1"})
    wait_until(lambda: place.post(model="other").status_code == 200)
    assert place.post(model="tiny").status_code == 404


@pytest.mark.parametrize("damaged", ["servers", "keys", "aliases"])
def test_while_reading_fails_the_last_table_stays(place, damaged, wait_until):
    place.start()
    if damaged == "servers":
        place.servers.write_text("{")
    elif damaged == "keys":
        place.store.put("gateway/keys.json", b"{")
    else:
        place.store.put("aliases/sums.json", b"{")
    wait_until(lambda: _complains(place))
    assert place.post(model="sums@1").status_code == 200


def _complains(place) -> bool:
    ready = place.client.get(f"{place.url}/readyz")
    return ready.status_code == 200 and (ready.json()["store"] == "failing" or ready.json()["problems"] == 1)


def test_one_damaged_version_leaves_the_others(place):
    place.store.put("models/broken/1.json", b'{"kind": 7}')
    place.store.put("models/broken/readme.json", b"{}")
    place.start()
    assert place.post().status_code == 200
    assert place.post(model="broken@1").status_code == 404
    assert place.client.get(f"{place.url}/readyz").json()["problems"] == 2


def test_another_replica_answers_for_one_that_has_just_gone(place):
    replica = {"name": "tiny", "base": place.base, "adapters": True}
    with place.another_model_server() as gone:
        place.write_servers({**replica, "url": gone}, {**replica, "url": place.model_server_url})
        place.start(poll_seconds=600)
        assert place.client.get(f"{place.url}/readyz").json()["servers"]["healthy"] == 2
    assert [place.post(model=model).status_code for model in ["sums", "sums@2", "tiny"] * 5] == [200] * 15
    assert place.client.get(f"{place.url}/readyz").json()["servers"]["healthy"] == 1


def test_a_model_whose_servers_are_all_gone_is_a_503(place, nobody):
    place.write_servers(
        {"name": "tiny", "url": place.model_server_url, "base": place.base, "adapters": True},
        {"name": "gone", "url": nobody, "base": "hf:x@1"},
    )
    place.start()
    answer = place.post(model="gone")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "upstream_unreachable")
    assert answer.headers["retry-after"] == "1"
    assert nobody not in answer.text
    assert value(place, 'poise_gateway_upstream_failures_total{model="gone",reason="upstream_unreachable"}') == 1


def test_a_request_that_kills_its_server_is_not_sent_to_the_next(place):
    replica = {"name": "tiny", "base": place.base}
    other = place.model_server_url.replace("127.0.0.1", "localhost")
    place.write_servers({**replica, "url": place.model_server_url}, {**replica, "url": other})
    place.start()
    assert place.post(model="tiny", do="die").status_code == 502
    assert len(place.model_server.bodies) == 1


def test_calls_are_counted_by_the_version_that_answered(place):
    place.start()
    place.post(model="sums")
    place.post(model="sums@1", stream=True)
    place.post(model="no-such-thing")
    place.get("/anything/else")
    chat = 'endpoint="/v1/chat/completions"'
    assert value(place, f'poise_gateway_requests_total{{{chat},model="sums@1",status="200"}}') == 2
    assert value(place, f'poise_gateway_requests_total{{{chat},model="",status="404"}}') == 1
    assert value(place, 'poise_gateway_requests_total{endpoint="other",model="",status="404"}') == 1
    assert value(place, 'poise_gateway_tokens_total{direction="prompt",model="sums@1"}') == 10
    assert value(place, 'poise_gateway_tokens_total{direction="completion",model="sums@1"}') == 6
    assert value(place, 'poise_gateway_request_seconds_count{model="sums@1"}') == 2
    assert value(place, 'poise_gateway_first_byte_seconds_count{model="sums@1"}') == 2
    assert "no-such-thing" not in place.client.get(f"{place.url}/metrics").text


def test_calls_in_flight_and_the_tables_age_are_shown(place):
    place.start()
    body = {"model": "sums", "stream": True, "do": "wait"}
    with httpx.stream("POST", f"{place.url}/v1/chat/completions", json=body, headers=place.headers):
        assert place.model_server.begun.wait(10)
        assert value(place, "poise_gateway_in_flight") == 2  # the wait, and the scrape itself
    assert 0 < value(place, "poise_gateway_table_age_seconds") < 60


def test_a_hung_up_call_is_counted_as_such(place, wait_until):
    place.start()
    with pytest.raises(httpx.ReadTimeout):
        place.client.post(
            f"{place.url}/v1/chat/completions", json={"model": "tiny", "do": "wait"}, headers=place.headers, timeout=0.5
        )
    chat = 'endpoint="/v1/chat/completions"'
    wait_until(lambda: value(place, f'poise_gateway_requests_total{{{chat},model="tiny",status="499"}}') == 1)
    assert value(place, "poise_gateway_in_flight") == 1


@pytest.mark.parametrize(
    ("method", "path", "part"),
    [("POST", "/v1/chat/completions", "proxy.read_body"), ("GET", "/v1/models", "pages._model")],
)
def test_a_fault_of_ours_is_a_500_in_the_apis_shape(place, caplog, monkeypatch, wait_until, method, path, part):
    place.start()
    monkeypatch.setattr(f"poise_gateway.{part}", _broken)
    answer = place.client.request(method, place.url + path, headers=place.headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "ours" not in answer.text
    wait_until(lambda: f"request {answer.headers['x-request-id']} failed" in caplog.text)


def _broken(*_, **__):
    raise NotFound("ours")
