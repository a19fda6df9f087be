"""The servers file and the settings: what is written by hand or by a chart, and how it is refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from poise.errors import SpecError
from poise_gateway.servers import Server, load_servers
from poise_gateway.settings import Settings

GOOD = {"POISE_STORE": "/store", "POISE_GATEWAY_SERVERS": "/servers.json"}


def test_servers_of_bases_and_of_versions(tmp_path):
    path = tmp_path / "servers.json"
    tiny = {"name": "tiny", "url": "http://127.0.0.1:8001/", "base": "builtin:tiny@sha256-1", "adapters": True}
    sums = {"name": "sums-gptq@1", "url": "http://a.b:80", "base": None, "adapters": False, "version": "sums-gptq@1"}
    path.write_text(json.dumps({"servers": [tiny, {**tiny, "url": "https://c"}, sums]}))
    assert load_servers(path) == (
        Server(name="tiny", url="http://127.0.0.1:8001", base="builtin:tiny@sha256-1", adapters=True),
        Server(name="tiny", url="https://c", base="builtin:tiny@sha256-1", adapters=True),
        Server(name="sums-gptq@1", url="http://a.b:80", version="sums-gptq@1"),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"base": None}, "either base or version"),
        ({"version": "s@1"}, "either base or version"),
        ({"base": None, "version": "s@1", "adapters": True}, "adapters needs a base"),
        ({"base": None, "version": "../s@1"}, "NAME@N"),
        ({"name": "a@1"}, "has no @"),
        ({"name": "../a"}, "name"),
        ({"url": "ftp://a"}, "http://HOST:PORT"),
        ({"url": "http://user:pass@a"}, "http://HOST:PORT"),
        ({"url": "http://a?b=c"}, "query"),
        ({"adaptors": True}, "adaptors"),
    ],
)
def test_a_bad_server_is_refused(tmp_path, change, message):
    path = tmp_path / "servers.json"
    path.write_text(json.dumps({"servers": [{"name": "tiny", "url": "http://a", "base": "hf:x@1", **change}]}))
    with pytest.raises(SpecError, match=message):
        load_servers(path)


@pytest.mark.parametrize(
    ("second", "message"),
    [({"url": "http://b", "base": "hf:y@1"}, "differ"), ({"url": "http://a"}, "same url")],
)
def test_replicas_must_agree(tmp_path, second, message):
    first = {"name": "tiny", "url": "http://a", "base": "hf:x@1"}
    path = tmp_path / "servers.json"
    path.write_text(json.dumps({"servers": [first, {**first, **second}]}))
    with pytest.raises(SpecError, match=message):
        load_servers(path)


@pytest.mark.parametrize("content", [None, "", "[]", '{"servers": 7}', "{}", "\x00"])
def test_a_file_that_is_none_is_refused(tmp_path, content):
    path = tmp_path / "servers.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SpecError):
        load_servers(path)


def test_settings_come_from_the_environment():
    more = {"POISE_GATEWAY_BIND": "[::1]:9", "POISE_GATEWAY_OPEN": "1", "POISE_GATEWAY_MAX_BODY_BYTES": "10"}
    settings = Settings.from_environment({**GOOD, **more, "POISE_GATEWAY_GRACE_SECONDS": ""})
    assert (settings.store, settings.servers) == ("/store", Path("/servers.json"))
    assert (settings.host, settings.port, settings.open, settings.max_body_bytes) == ("::1", 9, True, 10)
    assert settings.grace_seconds == 30


def test_by_default_it_listens_on_loopback_with_keys():
    settings = Settings.from_environment(GOOD)
    assert (settings.host, settings.open) == ("127.0.0.1", False)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("POISE_STORE", ""),
        ("POISE_GATEWAY_SERVERS", ""),
        ("POISE_GATEWAY_BIND", "8080"),
        ("POISE_GATEWAY_OPEN", "perhaps"),
        ("POISE_GATEWAY_BODY_SECONDS", "-1"),
    ],
)
def test_a_bad_setting_is_named(variable, text):
    with pytest.raises(SpecError, match=f"^{variable}: "):
        Settings.from_environment({**GOOD, variable: text})


def test_variables_that_kubernetes_makes_for_a_service_of_this_name_do_no_harm():
    theirs = {"POISE_GATEWAY_PORT": "tcp://10.0.0.1:80", "POISE_GATEWAY_SERVICE_HOST": "10.0.0.1"}
    assert Settings.from_environment({**GOOD, **theirs}).port == 8080
