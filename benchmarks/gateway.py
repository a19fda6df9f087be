"""What the gateway costs: CPU microseconds a request and a streamed token, before a model server that costs nothing.

    python benchmarks/gateway.py [--requests N] [--streams N] [--tokens N] [--callers N]

The CPU time is the gateway process's own, user and system; how long anything takes does not count, so a busy
machine disturbs it little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from poise.artifacts import keys
from poise.store import open_store

USAGE = {"prompt_tokens": 5, "total_tokens": 8, "completion_tokens": 3}
HEAD = "HTTP/1.1 200 OK\r\ncontent-type: {}\r\n{}\r\n\r\n"


class MockServer(asyncio.Protocol):
    """Answers every POST alike; a stream has `max_tokens` tokens, each in a write of its own."""

    def __init__(self) -> None:
        body = json.dumps({"model": "tiny", "choices": [{"message": {"content": "hi"}}], "usage": USAGE}).encode()
        self._whole = HEAD.format("application/json", f"content-length: {len(body)}").encode() + body
        self._received = b""
        self._stream: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        if not end or len(body) < int(length[1] if length else 0):
            return
        self._received = b""
        if head.startswith(b"GET"):
            self._transport.write(HEAD.format("text/plain", "content-length: 0").encode())
        elif b'"stream":true' in body:
            self._stream = asyncio.create_task(self._send_stream(json.loads(body)["max_tokens"]))
        else:
            self._transport.write(self._whole)

    async def _send_stream(self, tokens: int) -> None:
        self._transport.write(HEAD.format("text/event-stream", "transfer-encoding: chunked").encode())
        delta = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "tiny"}
        delta["choices"] = [{"index": 0, "delta": {"content": " word"}, "logprobs": None, "finish_reason": None}]
        chunk = _chunked(b"data: " + json.dumps(delta, separators=(",", ":")).encode() + b"\n\n")
        for _ in range(tokens):
            self._transport.write(chunk)
            await asyncio.sleep(0.002)
        self._transport.write(_chunked(b"data: [DONE]\n\n") + b"0\r\n\r\n")


def _chunked(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


@contextmanager
def a_gateway(server_url: str) -> Iterator[tuple[psutil.Process, int, str]]:
    """The process, its port and a key."""
    with tempfile.TemporaryDirectory() as folder:
        _, key = keys.create_key(open_store(f"{folder}/store"), "benchmark")
        servers = Path(folder) / "servers.json"
        servers.write_text(json.dumps({"servers": [{"name": "tiny", "url": server_url, "base": "hf:tiny@1"}]}))
        settings = {"STORE": f"{folder}/store", "GATEWAY_SERVERS": str(servers), "GATEWAY_BIND": "127.0.0.1:0"}
        environment = {**os.environ, **{f"POISE_{name}": value for name, value in settings.items()}}
        command = [sys.executable, "-m", "poise_gateway"]
        pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, env=environment, text=True, **pipes) as process:
            ports = (re.search(r"running on http://127.0.0.1:(\d+)", line) for line in process.stderr or ())
            found = next(filter(None, ports))
            try:
                yield psutil.Process(process.pid), int(found[1]), key
            finally:
                process.terminate()


async def call(port: int, key: str, fields: dict[str, object], times: int) -> None:
    """One caller, one connection, one request after the other."""
    body = json.dumps({"model": "tiny", "messages": [{"role": "user", "content": "hi"}], **fields}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {key}\r\n"
    head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    end = b"0\r\n\r\n" if "stream" in fields else b'": 3}}'
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for _ in range(times):
        writer.write(head.encode() + body)
        answer = await reader.readuntil(end)
        assert answer.startswith(b"HTTP/1.1 200"), answer
    writer.close()


async def measure(
    process: psutil.Process, port: int, key: str, fields: dict[str, object], args: tuple[int, int]
) -> float:
    """CPU microseconds of the gateway for each of `args[0]` requests by `args[1]` callers."""
    requests, callers = args
    before = process.cpu_times()
    await asyncio.gather(*(call(port, key, fields, requests // callers) for _ in range(callers)))
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) * 1e6 / (requests // callers * callers)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("requests", 10_000), ("streams", 200), ("tokens", 200), ("callers", 8)):
        parser.add_argument(f"--{name}", type=int, default=default)
    args = parser.parse_args()
    server = await asyncio.get_running_loop().create_server(MockServer, "127.0.0.1", 0)
    with a_gateway(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as (process, port, key):
        await measure(process, port, key, {}, (500, args.callers))
        request = await measure(process, port, key, {}, (args.requests, args.callers))
        fields = {"stream": True, "max_tokens": args.tokens}
        stream = await measure(process, port, key, fields, (args.streams, args.callers))
    print(f"CPU us a request: {request:.0f}")
    print(f"CPU us a streamed token: {(stream - request) / args.tokens:.1f}")


if __name__ == "__main__":
    asyncio.run(main())
