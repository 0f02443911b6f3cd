"""Files of the current folder never run in the place of installed packages, and are found where they are asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.agentrl.trainer.tiny import ROOT, tiny_tree, write_config

HOSTILE = (
    "torch",
    "yaml",
    "json",
    "numpy",
    "gymnasium",
    "transformers",
    "pydantic",
    "pickle",
    "socket",
    "guess_helper",
)
GUESS = """
import json
from tests.contract.toy import Line
import agentrl
import guess_rules
agentrl.register("mine/Guess-v0", "guess:Line")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an environment of the user's and files that are named as packages are."""
    for name in HOSTILE:
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('{name}.py of the current folder ran')")
    (tmp_path / "guess.py").write_text(GUESS)
    (tmp_path / "guess_rules.py").touch()
    return tmp_path


def script(folder: Path) -> list[str]:
    """What an installed ``agentrl`` is: a file in a folder of its own."""
    file = folder / "bin" / "agentrl"
    file.parent.mkdir()
    file.write_text("from agentrl.cli import main\nif __name__ == '__main__':\n    main()\n")
    return [str(file)]


def run(folder: Path, start: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    environ |= {"PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "envs"))), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *start, *arguments], cwd=folder, env=environ, capture_output=True, text=True, input=":quit\n"
    )


@pytest.mark.parametrize("module", ["", "agentrl", "agentrl.cli"])
def test_the_current_folder_comes_last(folder: Path, module: str) -> None:
    start = ["-m", module] if module else script(folder)
    done = run(folder, start, "play", "guess:mine/Guess-v0", "--task", "train/0")
    assert (done.returncode, done.stderr) == (0, ""), "guess.py is found there, and what it imports"
    assert "You are at" in done.stdout
    done = run(folder, start, "view", "nowhere")
    assert (done.returncode, done.stdout) == (2, "") and done.stderr.startswith("agentrl: no run in nowhere")


@pytest.mark.slow
@pytest.mark.parametrize("module", ["", "agentrl"])
def test_processes_that_are_started_look_there_last(folder: Path, module: str) -> None:
    changes = {
        "warm_start": {"steps": 0},
        "run": {"processes": 2, "iterations": 1},
        "eval": {"tasks": 2, "split": "valid"},
    }
    tree = tiny_tree(folder / "run", env={"id": "guess:mine/Guess-v0", "kwargs": {}}, **changes)
    start = ["-m", module] if module else script(folder)
    done = run(folder, start, "train", str(write_config(folder / "run.yaml", tree)))
    assert done.returncode == 0, done.stderr
