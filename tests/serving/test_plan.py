from __future__ import annotations

import pytest

from poise.errors import UserError
from poise.serving.plan import ServerPlan, base_names, plan


def test_adapters_of_one_base_share_a_server(published) -> None:
    servers = plan([published("sums"), published("brief", rank=64)])
    expected = ServerPlan("tiny", "builtin:tiny@sha256-ab", ("sums@1", "brief@1"), max_rank=64)
    assert servers == [expected]


def test_adapters_of_two_bases_get_two_servers(published) -> None:
    servers = plan([published("sums"), published("other", base="hf:org/Model-0.5B@abcdef")])
    assert [(server.name, server.adapters) for server in servers] == [
        ("tiny", ("sums@1",)),
        ("Model-0.5B", ("other@1",)),
    ]


def test_each_weights_version_is_a_server_of_its_own(published) -> None:
    servers = plan([published("merged", kind="weights"), published("sums"), published("gptq", kind="weights")])
    assert [(server.name, server.weights, server.version) for server in servers] == [
        ("tiny", "builtin:tiny@sha256-ab", None),
        ("merged@1", "artifact:sha256-merged", "merged@1"),
        ("gptq@1", "artifact:sha256-gptq", "gptq@1"),
    ]


def test_the_same_version_twice_is_served_once(published) -> None:
    (server,) = plan([published("merged", kind="weights")] * 2)
    assert server.version == "merged@1"
    (server,) = plan([published("sums")] * 2)
    assert server.adapters == ("sums@1",)


def test_reward_models_and_nothing_at_all_are_refused(published) -> None:
    with pytest.raises(UserError, match="reward model"):
        plan([published("judge", kind="reward")])
    with pytest.raises(UserError, match="nothing to serve"):
        plan([])


def test_bases_of_one_name_are_told_apart() -> None:
    names = base_names(
        ["path:/a/model@sha256-11111111aa", "path:/b/model@sha256-22222222bb", "hf:org/model@33333333cc"]
    )
    assert list(names.values()) == ["model-11111111", "model-22222222", "model-33333333"]


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("builtin:tiny@sha256-ab", "tiny"),
        ("hf:Qwen/Qwen2.5-0.5B-Instruct@0123abcd", "Qwen2.5-0.5B-Instruct"),
        ("artifact:sha256-0123456789ab", "base-01234567"),
        ("path:/models/my model (new)@sha256-ab", "my-model--new-"),
        ("path:/models/__@sha256-0123456789", "base-01234567"),
    ],
)
def test_a_base_is_called_by_what_it_is(base: str, name: str) -> None:
    assert base_names([base]) == {base: name}


def test_entries_are_what_the_gateway_reads(published) -> None:
    base, weights = plan([published("sums"), published("gptq", kind="weights")])
    assert base.entry("http://x:1") == {"name": "tiny", "url": "http://x:1", "base": base.weights, "adapters": True}
    assert weights.entry("http://x:2") == {"name": "gptq@1", "url": "http://x:2", "version": "gptq@1"}


@pytest.mark.parametrize(("adapters", "slots"), [(1, 4), (6, 6), (40, 16)])
def test_slots_for_adapters_grow_with_them_within_limits(published, adapters: int, slots: int) -> None:
    (server,) = plan([published(f"sums-{number}") for number in range(adapters)])
    assert server.max_loras == slots
