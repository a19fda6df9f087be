"""Two real vLLMs and a gateway, as `poise serve` starts them."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from poise import builtin
from poise.artifacts import keys
from poise.serving.launch import Deployment
from poise.serving.plan import plan

pytestmark = pytest.mark.slow


def test_adapters_and_full_weights_answer_through_one_gateway(publisher, serve_home: Path, tmp_path: Path) -> None:
    weights = publisher.folder("merged", builtin.path("tiny"), kind="weights", base=publisher.base)
    plans = plan([publisher.adapter("sums", seed=1), publisher.adapter("brief", seed=2), weights])
    _, key = keys.create_key(publisher.store, "test")
    with (
        Deployment(tmp_path / "home", serve_home / "envs/serve/bin/python", publisher.store, plans) as deployment,
        httpx.Client(base_url=deployment.url, headers={"authorization": f"Bearer {key}"}, timeout=60) as http,
    ):
        answers = {}
        for model in ("tiny", "sums@1", "brief@1", "merged@1"):
            body = {"model": model, "prompt": "2 + 3 =", "max_tokens": 12, "temperature": 0, "ignore_eos": True}
            answers[model] = http.post("/v1/completions", json=body).raise_for_status().json()["choices"][0]["text"]
    assert answers["tiny"] == answers["merged@1"]
    assert len(set(answers.values())) == 3
