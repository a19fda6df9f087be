"""What the layout promises: a slim install, light commands, files of a readable size."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from uv import find_uv_bin

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "transformers", "trl", "peft", "vllm", "gptqmodel", "datasets")
SOURCES = sorted([*ROOT.glob("src/**/*.py"), *ROOT.glob("services/**/*.py")])


@pytest.fixture(scope="module")
def slim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with Poise and none of its extras; returns its interpreter."""
    folder = tmp_path_factory.mktemp("slim") / "venv"
    uv = find_uv_bin()
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(folder)], check=True)
    python = folder / "bin" / "python"
    subprocess.run([uv, "pip", "install", "--quiet", "--python", str(python), str(ROOT)], check=True)
    return python


def test_an_install_without_extras_brings_none_of_the_heavy_libraries(slim: Path) -> None:
    code = f"import importlib.util; print([n for n in {HEAVY!r} if importlib.util.find_spec(n)])"
    found = subprocess.run([slim, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_slim_install_validates_runs_and_has_the_lock_files(slim: Path, tmp_path: Path) -> None:
    program = slim.with_name("poise")
    done = subprocess.run(
        [program, "validate", str(ROOT / "examples/quickstart.yaml")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    code = "from poise import environments; print(environments.problem('train', __import__('pathlib').Path('x')))"
    asked = subprocess.run([slim, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "has not been made" in asked.stdout


@pytest.mark.parametrize(
    "arguments", [["validate", str(ROOT / "examples/grpo.yaml")], ["schema"], ["--help"], ["run", "--help"], ["models"]]
)
def test_light_commands_import_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    code = (
        "import sys\nfrom poise.cli import app\n"
        f"try:\n    app({arguments!r}, standalone_mode=False)\nfinally:\n"
        f"    print([n for n in {(*HEAVY, 'fastapi', 'numpy')!r} if n in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stderr.strip().splitlines()[-1] == "[]"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_stay_readable(path: Path) -> None:
    text = path.read_text()
    assert text.count("\n") <= 500
    assert path.stem not in {"utils", "common", "helpers", "misc"}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, f"{path}:{node.lineno} {node.name}"
