"""At most one worker holds a run, and one that has lost it writes nothing more."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from poise.errors import Conflict, LeaseLost, StoreUnavailable
from poise.runs import lease
from poise.runs.lease import Lease
from poise.store import Store, open_store

RUN = "default.sums.0a1b2c3d"
KEY = f"runs/{RUN}/lease.json"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(str(tmp_path / "store"))


def pretend_other_host(store: Store, expires: float) -> None:
    """Have the lease held by a worker of which this machine can know nothing."""
    holder = {"schema_version": 1, "holder": "elsewhere/7/99", "attempt": 3, "nonce": "other", "expires": expires}
    store.put(KEY, json.dumps(holder).encode())


def test_a_second_worker_is_refused_while_the_first_one_lives(store: Store) -> None:
    with (
        Lease(store, RUN),
        pytest.raises(Conflict, match="being worked on"),
        Lease(store, RUN),
    ):
        pytest.fail("two workers held one lease")


def test_a_released_lease_is_free_and_the_next_attempt_is_counted(store: Store) -> None:
    with Lease(store, RUN) as first:
        assert first.attempt == 1
    assert lease.read(store, RUN) is None
    with Lease(store, RUN) as second:
        assert second.attempt == 2


def test_an_expired_lease_of_another_machine_is_taken_over(store: Store) -> None:
    pretend_other_host(store, time.time() - 1)
    with Lease(store, RUN) as taken:
        assert taken.attempt == 4


def test_a_live_lease_of_another_machine_is_respected(store: Store) -> None:
    pretend_other_host(store, time.time() + 50)
    with pytest.raises(Conflict, match="elsewhere/7"), Lease(store, RUN):
        pytest.fail("a live lease was taken")


def test_whoever_was_displaced_finds_out_at_the_next_check(store: Store) -> None:
    with Lease(store, RUN) as held:
        held.check()
        pretend_other_host(store, time.time() + 50)
        with pytest.raises(LeaseLost, match="taken over"):
            held.check()
        assert held.is_lost
    assert json.loads(store.get(KEY))["holder"] == "elsewhere/7/99", "the new holder's lease was released"


def test_a_lease_is_renewed_while_it_is_held(store: Store) -> None:
    with Lease(store, RUN, lasts=0.6, every=0.1) as held:
        time.sleep(1.5)
        held.check()
        assert not held.is_lost


def test_the_lease_of_a_killed_process_of_this_machine_is_free_at_once(store: Store) -> None:
    code = f"""
import time
from poise.runs.lease import Lease
from poise.store import open_store
with Lease(open_store({store.url!r}), {RUN!r}):
    print("held", flush=True)
    time.sleep(60)
"""
    worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"held\n"
    with pytest.raises(Conflict), Lease(store, RUN):
        pytest.fail("a living worker's lease was taken")
    worker.kill()
    worker.wait()
    worker.stdout.close()
    with Lease(store, RUN) as taken:
        assert taken.attempt == 2


class Unsure:
    """A store whose next replacement is done, or not, without the caller being told."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.next: str | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def replace(self, key: str, data: bytes, tag: str) -> None:
        how, self.next = self.next, None
        if how != "lost":
            self._store.replace(key, data, tag)
        if how is not None:
            raise StoreUnavailable("no reply")


@pytest.mark.parametrize("how", ["lost", "done"])
def test_a_renewal_without_a_reply_does_not_make_a_worker_lose_its_own_lease(store: Store, how: str) -> None:
    unsure = Unsure(store)
    with Lease(unsure, RUN) as held:  # type: ignore[arg-type]
        unsure.next = how
        held.check()
        held.check()
        held.require()
    assert lease.read(store, RUN) is None


def test_whoever_knows_that_it_was_displaced_is_stopped_without_asking(store: Store) -> None:
    with Lease(store, RUN) as held:
        held.require()
        pretend_other_host(store, time.time() + 50)
        with pytest.raises(LeaseLost):
            held.check()
        with pytest.raises(LeaseLost):
            held.require()
