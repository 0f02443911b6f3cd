"""Whole starts of configurations drawn at random that the first checks accept: they run, or are refused in one line."""

import os
import random
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentrl.errors import AgentrlError
from agentrl.trainer import loop
from agentrl.trainer.config import parse_config
from tests.agentrl.trainer.tiny import tiny_tree
from tests.fuzz import values
from tests.fuzz.attempt import Tally, command

MANY = int(os.environ.get("AGENTRL_FUZZ_STARTS", "40"))
PATIENCE_S = 30.0
SHORT: dict[str, dict[str, Any]] = {
    "policy": {
        "build": {"hidden_size": 16, "num_layers": 1, "num_heads": 2, "vocab_size": 300, "tokenizer_episodes": 4}
    },
    "warm_start": {"steps": 2, "demonstrations": 4},
    "rollout": {"tasks_per_iteration": 2, "group_size": 2},
    "run": {"iterations": 1},
    "eval": {"tasks": 2},
}


def short(tree: dict[str, Any], directory: Path) -> dict[str, Any]:
    """Make a run shorter where it was not changed, and of one process: each takes seconds to start."""
    usual = tiny_tree(directory)
    for section, changes in SHORT.items():
        if isinstance(tree.get(section), dict):
            for key, value in changes.items():
                if tree[section].get(key) == usual[section].get(key):
                    tree[section][key] = value
    if isinstance(tree.get("run"), dict) and tree["run"].get("processes") in range(2, 100):
        tree["run"]["processes"] = 1
    return tree


@contextmanager
def interrupted_after(seconds: float) -> Iterator[None]:
    """Press Ctrl-C after a while, and again until it is over: a long run is a run."""
    over = threading.Event()

    def watch() -> None:
        wait = seconds
        while not over.wait(wait):
            os.kill(os.getpid(), signal.SIGINT)
            wait = 5.0

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def attack(tmp_path: Path, number: int, seed: str) -> Tally:
    """Start as many accepted configurations."""
    tally, path, case = Tally(), tmp_path / "run.yaml", 0
    while tally.ends.total() < number:
        case += 1
        directory = tmp_path / f"run-{case}"
        rng = random.Random(f"{seed}-{case}")
        tree = values.configuration(rng, directory)
        if rng.random() < 0.03 and isinstance(tree.get("run"), dict):
            tree["run"]["directory"] = rng.choice(values.PLACES)
        try:
            path.write_text(yaml.safe_dump(short(tree, directory)))
            loop._check(parse_config(yaml.safe_load(path.read_text())))
        except (AgentrlError, yaml.YAMLError, TypeError, UnicodeError):
            continue
        with interrupted_after(PATIENCE_S):
            end = command("train", str(path))
        tally.add(end, f"{seed}-{case}: {tree}")
    return tally


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, and no look at any hub."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


def test_some_starts(elsewhere: Path) -> None:
    tally = attack(elsewhere, 2, "some")
    assert not tally.faults, tally.faults


@pytest.mark.slow
def test_many_starts(elsewhere: Path) -> None:
    tally = attack(elsewhere, MANY, "many")
    print(f"{MANY:,} starts: {tally}")
    assert not tally.faults, tally.faults
