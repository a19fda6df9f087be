"""The stores that every test of the conformance suite runs on.

`moto` has the shape of S3 and runs always; `s3` is a real server, for the slow tests: Ceph by `radosgw.py`, or
any other by POISE_TEST_S3_URL=s3://BUCKET/PREFIX and the `AWS_*` variables that reach it.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from urllib.parse import urlsplit

import boto3
import pytest
from moto.server import ThreadedMotoServer

from poise.store import Store, open_store

from .relay import Relay

WRITER = Path(__file__).with_name("writer.py")
S3 = pytest.param("s3", marks=pytest.mark.slow)


@dataclass(frozen=True)
class Server:
    """Where a bucket is, and the environment to reach it in."""

    url: str
    environment: dict[str, str]


def with_bucket(environment: dict[str, str]) -> Server:
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
    )
    client.create_bucket(Bucket="poise")
    client.close()
    return Server("s3://poise", environment)


@pytest.fixture(scope="session")
def moto() -> Iterator[Server]:
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "moto", "AWS_SECRET_ACCESS_KEY": "moto", "AWS_REGION": "us-east-1"}
    yield with_bucket({"AWS_ENDPOINT_URL": f"http://{host}:{port}", **keys})
    server.stop()


@pytest.fixture(scope="session")
def s3() -> Iterator[Server]:
    if url := os.environ.get("POISE_TEST_S3_URL"):
        yield Server(url, {name: value for name, value in os.environ.items() if name.startswith("AWS_")})
        return
    command = [sys.executable, str(Path(__file__).with_name("radosgw.py"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        answer = json.loads(process.stdout.readline())
        if "unavailable" in answer:
            pytest.skip(f"no S3 server: {answer['unavailable']}")
        yield with_bucket(answer)
        process.stdin.close()


@pytest.fixture
def reach(monkeypatch: pytest.MonkeyPatch) -> Callable[[Server], str]:
    """Sets the environment for a server; gives the URL of a fresh folder there."""

    def set_environment(server: Server) -> str:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        return f"{server.url}/{uuid.uuid4().hex}"

    return set_environment


@pytest.fixture(params=["file", "memory", "moto", S3])
def store_url(request: pytest.FixtureRequest, tmp_path: Path, reach: Callable[[Server], str]) -> str:
    if request.param == "file":
        return str(tmp_path / "store")
    if request.param == "memory":
        return "memory:"
    return reach(request.getfixturevalue(request.param))


@pytest.fixture
def store(store_url: str) -> Store:
    return open_store(store_url, patience_s=30)


@pytest.fixture(scope="session")
def writer() -> ModuleType:
    """`writer.py`, for what a test does in its own process."""
    spec = importlib.util.spec_from_file_location("poise_test_writer", WRITER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def start_writer() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts `writer.py` in a process of its own; those still running are killed at the end."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, str(WRITER), *map(str, arguments)]
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture(params=["moto", S3])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    if urlsplit(found.environment.get("AWS_ENDPOINT_URL", "")).scheme != "http":
        pytest.skip("these tests break connections, which needs an http endpoint in AWS_ENDPOINT_URL")
    return found


@pytest.fixture
def relay(server: Server) -> Iterator[Relay]:
    endpoint = urlsplit(server.environment["AWS_ENDPOINT_URL"])
    assert endpoint.hostname is not None
    relay = Relay((endpoint.hostname, endpoint.port or 80))
    yield relay
    relay.switch_off()


@pytest.fixture
def url(server: Server, relay: Relay, reach: Callable[[Server], str]) -> str:
    endpoint = {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{relay.port}"}
    return reach(Server(server.url, {**server.environment, **endpoint}))
