from __future__ import annotations

import random
from collections import Counter

import pytest

from poise.artifacts.aliases import Alias, Target
from poise.artifacts.registry import Version
from poise_gateway.errors import ApiError
from poise_gateway.servers import Server
from poise_gateway.table import Table, build_table

TINY, OTHER = "builtin:tiny@sha256-1", "hf:other@2"
A = Server(name="tiny", url="http://a:1", base=TINY, adapters=True)
A2 = Server(name="tiny", url="http://a:2", base=TINY, adapters=True)
B = Server(name="plain", url="http://b", base=TINY)
C = Server(name="other", url="http://c", base=OTHER, adapters=True)
Q = Server(name="sums-gptq", url="http://q", version="q@1")


def version(kind: str, base: str = TINY) -> Version:
    return Version(kind=kind, artifact="sha256-0", base=base)


def alias(**weights: float) -> Alias:
    """Weights by version, `q_1` for q@1."""
    targets = tuple(Target(version=n.replace("_", "@"), weight=w) for n, w in weights.items())
    return Alias(targets=targets, nonce="0")


def urls(table: Table) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    return {name: [(t.model, t.urls) for t in route.targets] for name, route in table.routes.items()}


@pytest.mark.parametrize(
    ("servers", "versions", "aliases", "expected"),
    [
        ([], {}, {}, {}),
        ([A], {}, {}, {"tiny": [("tiny", ("http://a:1",))]}),
        ([A, A2], {}, {}, {"tiny": [("tiny", ("http://a:1", "http://a:2"))]}),
        ([Q], {}, {}, {}),
        ([Q], {"q@1": version("weights"), "q@2": version("weights")}, {}, {"q@1": [("q@1", ("http://q",))]}),
        ([Q], {"q@1": version("adapter")}, {}, {}),
        ([Q], {"q@1": version("reward")}, {}, {}),
        (
            [A, A2, B, C],
            {"s@1": version("adapter"), "t@1": version("adapter", OTHER), "u@1": version("adapter", "hf:none@3")},
            {},
            {
                "s@1": [("s@1", ("http://a:1", "http://a:2"))],
                "t@1": [("t@1", ("http://c",))],
                "tiny": [("tiny", ("http://a:1", "http://a:2"))],
                "plain": [("plain", ("http://b",))],
                "other": [("other", ("http://c",))],
            },
        ),
        (
            [Q],
            {"q@1": version("weights")},
            {"good": alias(q_1=1), "half": alias(q_1=1, q_2=9), "bad": alias(q_2=1), "off": alias(q_1=0)},
            {name: [("q@1", ("http://q",))] for name in ("q@1", "good", "half")},
        ),
    ],
)
def test_what_is_routed_where(servers, versions, aliases, expected):
    assert urls(build_table(servers, versions, aliases)) == expected


def test_the_table_does_not_depend_on_order():
    versions = {"s@1": version("adapter"), "q@1": version("weights")}
    forth = build_table([A, Q], versions, {"s": alias(s_1=1)})
    back = build_table([Q, A], dict(reversed(versions.items())), {"s": alias(s_1=1)})
    assert list(forth.routes.items()) == list(back.routes.items())


def test_what_cannot_be_routed_is_told():
    table = build_table([A], {"s@1": version("adapter")}, {"tiny": alias(s_1=1), "x": alias(s_1=1, s_2=1)})
    assert table.problems == (
        "alias x: s@2 is not served",
        "alias tiny is hidden by the server of that name",
    )
    assert table.find("tiny").targets[0].model == "tiny"


def test_weights_are_kept():
    versions = {"s@1": version("adapter"), "s@2": version("adapter"), "s@3": version("adapter")}
    route = build_table([A], versions, {"s": alias(s_1=9, s_2=1, s_3=0)}).find("s")
    rng = random.Random(0)
    share = Counter(route.choose(rng).model for _ in range(10_000))
    assert set(share) == {"s@1", "s@2"}
    assert share["s@2"] == pytest.approx(1000, abs=100)


def test_an_unknown_name_is_answered_with_the_nearest():
    table = build_table([A], {"sums@1": version("adapter"), "sums@2": version("adapter")}, {})
    with pytest.raises(ApiError, match="Did you mean sums@2 or sums@1"):
        table.find("sums2")
    with pytest.raises(ApiError, match="GET /v1/models"):
        table.find("x" * 100_000)
