"""The command line as scripts and people meet it."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.main import get_command

from poise.artifacts import registry
from poise.artifacts.manifest import File, Manifest
from poise.cli import app
from poise.store import Store

Poise = Callable[..., subprocess.CompletedProcess[str]]
ROOT = Path(__file__).parents[2]
COMMANDS = get_command(app).commands  # type: ignore[attr-defined]


def publish(store: Store, content: str) -> str:
    manifest = Manifest(
        kind="adapter", method="sft", run="default.sums.0a1b2c3d", spec="sha256-0", code="0",
        inputs={"base": "builtin:tiny@sha256-1"}, base="builtin:tiny@sha256-1",
        files=(File(path="a", size=1, sha256=content),),
    )  # fmt: skip
    store.put(f"artifacts/{manifest.id}/manifest.json", manifest.to_bytes())
    return registry.publish(store, "sums", manifest).served_name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(poise: Poise, name: str) -> None:
    shown = poise(name, "--help")
    assert shown.returncode == 0
    assert COMMANDS[name].help or COMMANDS[name].callback.__doc__
    assert "Usage: poise" in shown.stdout


def test_the_commands_of_readme_and_docs_exist() -> None:
    pages = [ROOT / "README.md", *ROOT.glob("docs/*.md")]
    said = {word for page in pages for word in re.findall(r"^(?:\$ )?poise ([a-z]+)", page.read_text(), re.MULTILINE)}
    assert said
    assert said <= COMMANDS.keys()


def test_a_mistake_is_told_on_stderr_and_as_json_on_request(poise: Poise, tmp_path: Path) -> None:
    (tmp_path / "run.yaml").write_text("apiVersion: poise.dev/v1alpha1\nkind: Rum\n")
    plain = poise("validate", "run.yaml")
    assert (plain.returncode, plain.stdout) == (64, "")
    assert plain.stderr == "poise: run.yaml:2: there is no kind 'Rum'\ndid you mean Run?\n"
    asked = poise("validate", "run.yaml", "--json")
    assert asked.returncode == 64
    error = json.loads(asked.stdout)
    assert (error["error"]["reason"], error["exit_code"]) == ("SpecError", 64)


def test_a_valid_file_and_the_schema(poise: Poise) -> None:
    done = poise("validate", ROOT / "examples/quickstart.yaml", "--json")
    assert json.loads(done.stdout) == {"valid": True, "kind": "Pipeline", "name": "quickstart"}
    assert json.loads(poise("schema").stdout)["$schema"].startswith("https://json-schema.org/")


def test_what_is_not_there_is_said_with_what_is(poise: Poise, store: Store) -> None:
    for command in (("status", "nope"), ("logs", "nope"), ("cancel", "nope"), ("models", "sums@1"), ("serve", "sums")):
        done = poise(*command)
        assert done.returncode == 64, command
        assert done.stderr.startswith("poise: there is no"), command
        assert "Traceback" not in done.stderr
    assert poise("runs").stdout.startswith("no runs yet")
    assert poise("models").stdout.startswith("nothing is published yet")


def test_promote_and_rollback_move_an_alias(poise: Poise, store: Store) -> None:
    for content in "ab":
        publish(store, content)
    assert poise("promote", "live", "sums@1").stdout == "live -> sums@1\n"
    assert poise("promote", "live", "sums@2").returncode == 0
    assert json.loads(poise("rollback", "live", "--json").stdout)["targets"] == [{"version": "sums@1", "weight": 1.0}]
    assert poise("promote", "live", "sums@9").returncode == 64
    lineage = json.loads(poise("models", "sums@1", "--json").stdout)
    assert lineage["inputs"]["base"]["pinned"] == "builtin:tiny@sha256-1"


def test_a_key_is_shown_once_and_its_digest_is_all_that_is_kept(poise: Poise, home: Path) -> None:
    made = json.loads(poise("keys", "create", "laptop", "--json").stdout)
    assert made["key"].startswith("sk-poise-")
    assert [item["name"] for item in json.loads(poise("keys", "list", "--json").stdout)] == ["laptop"]
    kept = b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file() and "envs" not in path.parts)
    assert made["key"].encode() not in kept
    assert poise("keys", "revoke", "laptop").returncode == 0
    assert json.loads(poise("keys", "list", "--json").stdout) == []


def test_chat_says_when_nobody_is_there(poise: Poise) -> None:
    done = poise("chat", "sums", "7 + 5 =", "--url", "http://127.0.0.1:9/v1")
    assert done.returncode == 75
    assert "poise serve" in done.stderr


def test_env_sync_refuses_an_unknown_environment(poise: Poise) -> None:
    done = poise("env", "sync", "trian")
    assert done.returncode == 64
    assert "trian" in done.stderr


def test_doctor_lists_its_checks(poise: Poise) -> None:
    checks = json.loads(poise("doctor", "--json").stdout)
    assert {"python", "make", "libnuma"} <= {check["name"] for check in checks}
    assert all(check["ok"] or check["fix"] for check in checks)
