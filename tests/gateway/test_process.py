"""The gateway as it is run: one process, its settings in the environment."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from poise.artifacts import keys


@pytest.fixture
def environment(place):
    return {
        **os.environ,
        "POISE_STORE": place.store.url,
        "POISE_GATEWAY_SERVERS": str(place.servers),
        "POISE_GATEWAY_BIND": "127.0.0.1:0",
        "POISE_GATEWAY_GRACE_SECONDS": "2",
    }


@pytest.fixture
def process(place, environment, wait_until):
    command = [sys.executable, "-m", "poise_gateway"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, **pipes) as started:
        try:
            place.url = _listening_at(started)
            wait_until(lambda: place.client.get(f"{place.url}/readyz").status_code == 200)
            yield started
        finally:
            started.kill()


def _listening_at(process) -> str:
    for line in process.stderr:
        if found := re.search(r"running on (http://\S+)", line):
            return found[1]
    raise AssertionError("it ended before it listened")


def test_it_answers_with_a_key_and_ends_well(place, process):
    assert place.client.post(f"{place.url}/v1/chat/completions", json={"model": "sums"}).status_code == 401
    assert place.post().json()["choices"][0]["message"]["content"] == "Good day!"
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert '"status":401' in out
    assert '"status":200' in out
    assert place.key not in out + err
    assert "Traceback" not in err


def test_a_stream_is_finished_before_the_end(place, process):
    answers = []
    caller = threading.Thread(target=lambda: answers.append(place.post(stream=True, do="drip 20")))
    caller.start()
    assert place.model_server.begun.wait(10)
    process.send_signal(signal.SIGTERM)
    caller.join(30)
    _, err = process.communicate(timeout=30)
    assert answers[0].content.endswith(b"data: [DONE]\n\n")
    assert process.returncode == 0, err


@pytest.mark.parametrize("stream", [False, True])
def test_what_outlasts_the_grace_period_is_told_so(place, process, stream):
    answers = []
    caller = threading.Thread(target=lambda: answers.append(place.post(stream=stream, do="wait")))
    caller.start()
    assert place.model_server.begun.wait(10)
    process.send_signal(signal.SIGTERM)
    caller.join(30)
    _, err = process.communicate(timeout=30)
    assert b'"code": "shutting_down"' in answers[0].content
    assert answers[0].status_code == (200 if stream else 503)
    assert process.returncode == 0, err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("variable", "text", "message"),
    [
        ("POISE_GATEWAY_SERVERS", "/nowhere.json", "/nowhere.json cannot be read"),
        ("POISE_GATEWAY_BIND", "nonsense", "POISE_GATEWAY_BIND"),
        ("POISE_STORE", "ftp://a", "is not the url of a store"),
    ],
)
def test_a_bad_setting_ends_it_with_one_message(environment, variable, text, message):
    ended = _ended(environment, variable, text)
    assert ended.returncode == 64
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_a_key_it_does_not_start(place, environment):
    keys.revoke_key(place.store, "tests")
    ended = _ended(environment, "POISE_GATEWAY_OPEN", "")
    assert ended.returncode == 64
    assert "POISE_GATEWAY_OPEN=1" in ended.stderr


def _ended(environment, variable, text):
    changed = {**environment, variable: text}
    command = [sys.executable, "-m", "poise_gateway"]
    return subprocess.run(command, env=changed, capture_output=True, text=True, timeout=60, check=False)
