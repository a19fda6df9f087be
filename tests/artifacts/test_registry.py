"""Versions are numbered, immutable and never doubled; aliases move by compare-and-set."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from poise.artifacts import aliases, registry
from poise.artifacts.manifest import File, Manifest
from poise.errors import Conflict, NotFound, UserError
from poise.store import Store, open_store


def manifest(content: str = "a") -> Manifest:
    return Manifest(
        kind="adapter",
        method="sft",
        run="default.sums.0a1b2c3d",
        spec="sha256-0",
        code="0",
        inputs={},
        base="builtin:tiny@sha256-1",
        files=(File(path="probe.json", size=1, sha256=f"sha256-{content}"),),
        rank=8,
    )


@pytest.fixture
def store() -> Store:
    return open_store("memory:")


def test_versions_are_numbered_from_one(store: Store) -> None:
    assert registry.publish(store, "sums", manifest("a")).served_name == "sums@1"
    assert registry.publish(store, "sums", manifest("b")).served_name == "sums@2"
    found = registry.get(store, "sums@2").version
    assert (found.artifact, found.rank, found.probe) == (manifest("b").id, 8, "sha256-b")


def test_the_same_artifact_again_returns_the_version_it_has(store: Store) -> None:
    registry.publish(store, "sums", manifest("a"))
    registry.publish(store, "sums", manifest("b"))
    assert registry.publish(store, "sums", manifest("a")).served_name == "sums@1"
    assert len(registry.versions(store, "sums")) == 2


def test_publishers_at_once_get_numbers_of_their_own(store: Store) -> None:
    with ThreadPoolExecutor(8) as pool:
        published = list(pool.map(lambda n: registry.publish(store, "sums", manifest(str(n))), range(24)))
    assert sorted(item.number for item in published) == list(range(1, 25))
    for item in published:
        assert registry.get(store, item.served_name).version.artifact == item.version.artifact


@pytest.mark.parametrize("name", ["sums", "sums@0", "sums@x", "../sums@1", "a/b@1", "/etc@1", "sums@1/..", ""])
def test_what_is_no_served_name_is_not_looked_for(store: Store, name: str) -> None:
    assert registry.parse_served_name(name) is None
    with pytest.raises(NotFound):
        registry.get(store, name)


def test_an_unknown_version_names_those_there_are(store: Store) -> None:
    registry.publish(store, "sums", manifest())
    with pytest.raises(NotFound) as caught:
        registry.get(store, "sums@7")
    assert "sums@1" in str(caught.value)
    with pytest.raises(NotFound, match="did you mean sums"):
        registry.get(store, "sumz@1")


def test_the_first_publish_makes_the_alias_and_later_ones_leave_it(store: Store) -> None:
    registry.publish(store, "sums", manifest("a"))
    assert aliases.create(store, "sums", "sums@1")
    registry.publish(store, "sums", manifest("b"))
    assert not aliases.create(store, "sums", "sums@2")
    assert aliases.read(store, "sums").targets[0].version == "sums@1"


def test_a_rollback_is_the_same_move_backwards(store: Store) -> None:
    for content in "ab":
        registry.publish(store, "sums", manifest(content))
    aliases.promote(store, "sums", "sums@1")
    aliases.promote(store, "sums", "sums@2")
    aliases.promote(store, "sums", "sums@2")
    assert aliases.rollback(store, "sums").targets[0].version == "sums@1"
    assert aliases.rollback(store, "sums").targets[0].version == "sums@2"


def test_an_alias_moves_only_to_a_version_that_exists(store: Store) -> None:
    with pytest.raises(NotFound):
        aliases.promote(store, "sums", "sums@1")
    assert aliases.all_aliases(store) == {}


def test_an_alias_that_never_moved_has_nothing_to_roll_back_to(store: Store) -> None:
    registry.publish(store, "sums", manifest())
    aliases.create(store, "sums", "sums@1")
    with pytest.raises(NotFound, match="never moved"):
        aliases.rollback(store, "sums")
    with pytest.raises(NotFound, match="no alias"):
        aliases.rollback(store, "other")


def test_of_two_that_move_an_alias_at_once_one_is_told(store: Store) -> None:
    for content in "abc":
        registry.publish(store, "sums", manifest(content))
    aliases.promote(store, "sums", "sums@1")

    def move(number: int) -> str | None:
        try:
            aliases.promote(store, "sums", f"sums@{number}")
        except Conflict:
            return None
        return f"sums@{number}"

    with ThreadPoolExecutor(2) as pool:
        moved = [name for name in pool.map(move, (2, 3)) if name]
    assert aliases.read(store, "sums").targets[0].version in moved


@pytest.mark.parametrize("name", ["sums@1", "a/b", "../b", "Sums", "", "a" * 60])
def test_what_could_be_taken_for_a_version_or_a_path_is_no_alias(store: Store, name: str) -> None:
    registry.publish(store, "sums", manifest())
    with pytest.raises(UserError, match="cannot be an alias"):
        aliases.promote(store, name, "sums@1")
    assert aliases.all_aliases(store) == {}
