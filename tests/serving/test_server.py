"""One real vLLM on a CPU, with our plugin in it and adapters in a file store."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from poise import builtin
from poise.errors import NotFound, UserError
from poise.serving import process
from poise.serving.admin import Admin, wait_ready
from poise.serving.process import Child
from poise.serving.settings import ResolverSettings
from poise.serving.shape import MIB, Shape, engine_for
from poise.serving.vllm import server_command

PROMPT = "What is 2 + 3?"
TOKENS = 12


@dataclass(frozen=True)
class Server:
    http: httpx.Client
    admin: Admin
    child: Child
    cache: Path
    root: Path

    def ask(self, model: str, prompt: str = PROMPT) -> httpx.Response:
        body = {"model": model, "prompt": prompt, "max_tokens": TOKENS, "temperature": 0, "logprobs": 0}
        return self.http.post("/v1/completions", json=body | {"ignore_eos": True})

    def logprobs(self, model: str, prompt: str = PROMPT) -> list[float]:
        choice = self.ask(model, prompt).raise_for_status().json()["choices"][0]
        return list(choice["logprobs"]["token_logprobs"])


@pytest.fixture(scope="module")
def server(module_publisher, serve_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("server")
    python, weights = serve_home / "envs/serve/bin/python", builtin.path("tiny")
    settings = ResolverSettings(module_publisher.store.url, folder / "cache", module_publisher.base, max_rank=16)
    # Few blocks and few slots, so that both are used again at once.
    engine = replace(engine_for(Shape.read(weights), gpu=False, servers=1, cores=1), kv_cache_bytes=16 * MIB)
    (port,) = process.free_ports(1)
    command = server_command(python, weights, "tiny", port, engine, settings, max_loras=2)
    child = process.start("tiny", command.argv, command.env, folder / "tiny.log")
    url = f"http://127.0.0.1:{port}"
    try:
        with Admin(url) as admin, httpx.Client(base_url=url, timeout=120, trust_env=False) as http:
            wait_ready(admin, child, timeout=400)
            root = Path(module_publisher.store.url.removeprefix("file://"))
            yield Server(http, admin, child, settings.cache, root)
    finally:
        process.stop([child], grace=1)


@pytest.fixture(scope="module")
def adapters(module_publisher) -> list[str]:
    return [module_publisher.adapter(name, seed=seed).served_name for seed, name in enumerate(("first", "second"))]


def close(one: list[float], other: list[float]) -> bool:
    return all(math.isclose(a, b, abs_tol=1e-3) for a, b in zip(one, other, strict=True))


def test_each_adapter_answers_in_its_own_way(server: Server, adapters: list[str]) -> None:
    answers = [server.logprobs(model) for model in ("tiny", *adapters)]
    assert not close(answers[0], answers[1])
    assert not close(answers[0], answers[2])
    assert not close(answers[1], answers[2])
    assert {"tiny", *adapters} <= set(server.admin.models())


def test_an_adapter_published_while_the_server_runs_is_found(server: Server, module_publisher) -> None:
    with pytest.raises(NotFound):
        server.admin.load("late@1")
    module_publisher.adapter("late", seed=7)
    server.admin.load("late@1")
    assert not close(server.logprobs("late@1"), server.logprobs("tiny"))


def test_a_batch_that_mixes_base_and_adapters_keeps_them_apart(server: Server, adapters: list[str]) -> None:
    models = ["tiny", *adapters]
    prompts = [f"What is {number} + {number}?" for number in range(14)]
    requests = [(models[index % 3], prompts[index // 2]) for index in range(28)]
    alone = [server.logprobs(*request) for request in requests]
    with ThreadPoolExecutor(len(requests)) as pool:
        mixed = list(pool.map(lambda request: server.logprobs(*request), requests))
    spoilt = [request for request, one, other in zip(requests, alone, mixed, strict=True) if not close(one, other)]
    assert spoilt == []


def test_an_adapter_of_nans_spoils_no_later_request(server: Server, module_publisher) -> None:
    before = server.logprobs("tiny")
    name = module_publisher.adapter("broken", scale=math.nan).served_name
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: server.ask(name, f"{number} {PROMPT} " * 30), range(16)))
    prompts = [f"{number} {PROMPT}" for number in range(16)]
    assert all(math.isfinite(p) for prompt in prompts for p in server.logprobs("tiny", prompt))
    assert close(server.logprobs("tiny"), before)


@pytest.mark.parametrize("name", ["../first@1", "/etc/passwd", "a/b", "first", "first@0", "absent@1", "first@99"])
def test_path_like_and_unknown_names_are_not_found(server: Server, adapters: list[str], name: str) -> None:
    before = {path.name for path in server.cache.iterdir()}
    assert server.ask(name).status_code == 404
    assert {path.name for path in server.cache.iterdir()} == before


def test_an_adapter_of_another_base_is_refused(server: Server, module_publisher) -> None:
    name = module_publisher.adapter("foreign", seed=3, base="hf:other/base@abc").served_name
    reply = server.ask(name)
    assert reply.status_code == 400
    assert "was made on hf:other/base@abc" in reply.text


def test_a_rank_above_the_limit_is_refused_with_both_numbers(server: Server, module_publisher) -> None:
    name = module_publisher.adapter("wide", rank=32).served_name
    with pytest.raises(UserError, match="rank 32, and this server takes ranks up to 16"):
        server.admin.load(name)


def test_a_changed_adapter_is_refused(server: Server, module_publisher) -> None:
    item = module_publisher.adapter("changed", seed=5)
    key = f"artifacts/{item.version.artifact}/adapter_model.safetensors"
    data = bytearray(module_publisher.store.get(key))
    data[-1] ^= 1
    module_publisher.store.put(key, bytes(data))
    reply = server.ask(item.served_name)
    assert reply.status_code == 500
    assert "was changed in the store" in reply.text
    assert item.served_name not in server.admin.models()


def test_without_its_store_a_server_refuses_new_adapters_and_serves_the_old(
    server: Server, adapters: list[str], module_publisher
) -> None:
    name = module_publisher.adapter("unseen", seed=9).served_name
    server.admin.load(adapters[0])
    away = server.root.with_name("away")
    server.root.rename(away)
    try:
        server.root.symlink_to(server.root.name)  # a loop: opening anything below fails, and not for absence
        assert server.ask(name).status_code == 503
        assert server.ask(adapters[0]).status_code == 200
    finally:
        server.root.unlink()
        shutil.move(away, server.root)
