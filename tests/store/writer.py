"""What a child process does to a store in a test: python writer.py COMMAND URL ..."""

from __future__ import annotations

import hashlib
import json
import random
import secrets
import sys
import tempfile
from pathlib import Path

from poise.errors import Conflict
from poise.store import Store, open_store

BLOCK = 1024 * 1024


def increment(store: Store, key: str, times: int) -> None:
    """Adds one `times` times to the count at `key` by compare-and-set."""
    done = 0
    while done < times:
        there = store.read(key)
        value = {"count": json.loads(there.data)["count"] + 1, "nonce": secrets.token_hex(8)}
        try:
            store.replace(key, json.dumps(value).encode(), there.tag)
        except Conflict:
            continue
        done += 1


def claim(store: Store, folder: str, keys: int, name: str) -> list[str]:
    """The keys of `folder` that this writer created."""
    won = []
    for key in (f"{folder}/{number}" for number in range(keys)):
        try:
            store.create(key, name.encode())
        except Conflict:
            continue
        won.append(key)
    return won


def sealed(payload: bytes) -> bytes:
    """A value that shows whether it is whole."""
    return hashlib.sha256(payload).digest() + payload


def is_sealed(value: bytes) -> bool:
    return hashlib.sha256(value[32:]).digest() == value[:32]


def churn(store: Store, scratch: Path) -> None:
    """Writes in every way there is, until killed."""
    dice = random.Random()
    large = scratch / secrets.token_hex(8)
    large.write_bytes(sealed(dice.randbytes(20 * BLOCK)))
    while True:
        data = sealed(dice.randbytes(dice.choice([10, 10_000, BLOCK])))
        key = f"churn/{dice.randrange(8)}"
        store.put(key, data)
        store.create(f"churn/created/{secrets.token_hex(8)}", data)
        store.upload(large, f"churn/large/{dice.randrange(2)}")
        try:
            store.replace(key, sealed(secrets.token_bytes(500)), store.read(key).tag)
        except Conflict:
            continue


def stream(store: Store, size: int) -> dict[str, int]:
    """Sends a sparse file up and fetches it again; how many bytes more the process needed at its peak."""
    with tempfile.TemporaryDirectory() as scratch:
        path, back = Path(scratch, "up"), Path(scratch, "down")
        with path.open("wb") as file:
            file.truncate(size)
            file.seek(size - 4)
            file.write(b"last")
        sent: list[int] = []
        before = peak_memory()
        store.upload(path, "large", sent.append)
        store.download("large", back)
        grown = peak_memory() - before
        with back.open("rb") as file:
            file.seek(-4, 2)
            tail = file.read()
        return {"grown": grown, "sent": sum(sent), "size": back.stat().st_size, "whole": tail == b"last"}


def peak_memory() -> int:
    """The largest resident set so far, in bytes; what `getrusage` gives would include the parent's."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def main(command: str, url: str, *arguments: str) -> None:
    store = open_store(url, patience_s=60)
    print("ready", flush=True)
    if command == "increment":
        increment(store, arguments[0], int(arguments[1]))
    elif command == "claim":
        print(json.dumps(claim(store, arguments[0], int(arguments[1]), arguments[2])))
    elif command == "churn":
        churn(store, Path(arguments[0]))
    elif command == "stream":
        print(json.dumps(stream(store, int(arguments[0]))))


if __name__ == "__main__":
    main(*sys.argv[1:])
