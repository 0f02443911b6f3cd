"""Damaged stores under ``agentrl view`` and ``agentrl credit``: shown, or refused in one line."""

import json
import os
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from agentrl.env import Outcome
from agentrl.store import TrajectoryStore
from tests.agentrl.rollout.forests import random_forest
from tests.fuzz import values
from tests.fuzz.attempt import Tally, command

MANY = int(os.environ.get("AGENTRL_FUZZ_STORES", "200"))


def make_run(directory: Path, seed: int = 0) -> Path:
    """Write a run of three stored iterations; the last one will be damaged."""
    store = TrajectoryStore(directory / "trajectories")
    for iteration in (1, 2, 3):
        trees = random_forest(seed + iteration, size=6)
        for number, tree in enumerate(trees):
            tree.outcome = Outcome.SUCCESS if number % 2 else Outcome.FAILURE
        store.write(iteration, trees)
    (directory / "config.yaml").write_text(yaml.safe_dump({"env": {"id": "agentrl/Maze-v0"}}))
    return directory


def change_leaf(rng: random.Random, node: Any) -> None:
    """Replace, drop, add or double something in a tree of JSON."""
    while True:
        places = list(node) if isinstance(node, dict) else list(range(len(node)))
        if not places:
            return
        place = rng.choice(places)
        if isinstance(node[place], (dict, list)) and node[place] and rng.random() < 0.8:
            node = node[place]
            continue
        kind = rng.randrange(5)
        if kind == 0:
            node.pop(place)
        elif kind == 1 and isinstance(node, dict):
            node["unknown"] = 1
        elif kind == 2 and isinstance(node, list):
            node.insert(place, node[place])
        else:
            try:
                node[place] = json.loads(json.dumps(values.value(rng)))
            except (TypeError, ValueError):
                node[place] = rng.choice((None, -1, "x", [], {}, 1e308, float("nan")))
        return


def damage_records(rng: random.Random, content: bytes) -> bytes:
    """Change records so that the archive stays sound: what a checksum does not see."""
    records = [json.loads(line) for line in content.splitlines()]
    for _ in range(rng.choice((1, 1, 2))):
        change_leaf(rng, records if rng.random() < 0.15 else rng.choice(records or [{}]))
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def damage_store(rng: random.Random, path: Path) -> None:
    """Damage a stored iteration in one of many ways."""
    kind = rng.random()
    if kind < 0.3:
        path.write_bytes(values.damage(rng, path.read_bytes()))
    elif kind < 0.35:
        path.unlink()
        rng.choice((path.mkdir, path.touch, lambda: path.symlink_to(path), lambda: None))()
    else:
        change: Callable[[random.Random, bytes], bytes] = damage_records if kind < 0.8 else values.damage
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name = "records.jsonl" if kind < 0.8 else rng.choice(sorted(members))
        members[name] = change(rng, members[name])
        if rng.random() < 0.05:
            members.pop(name)
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in members.items():
                archive.writestr(name, content)


def attack(tmp_path: Path, number: int, seed: str) -> Tally:
    """Damage the newest iteration ``number`` times and look at the run by both commands."""
    tally, whole = Tally(), make_run(tmp_path / "whole")
    for case in range(number):
        rng = random.Random(f"{seed}-{case}")
        run = shutil.copytree(whole, tmp_path / "run")
        damage_store(rng, run / "trajectories" / "000003.zip")
        if rng.random() < 0.1:
            (run / "config.yaml").write_bytes(values.damage(rng, (run / "config.yaml").read_bytes()))
        asked = rng.choice(([], [], ["--iteration", "3"]))
        what = (
            ["view"] if rng.random() < 0.7 else ["credit", "--estimators", rng.choice(("grpo,gigpo", "rloo", "salt"))]
        )
        end = command(*what, str(run), *asked)
        tally.add(end, f"{seed}-{case} {what} {asked}")
        if not asked and end == "refused" and what == ["view"]:
            tally.add("fault: a damaged iteration hides sound ones", f"{seed}-{case}")
        shutil.rmtree(run)
    return tally


def test_some_damaged_stores(tmp_path: Path) -> None:
    tally = attack(tmp_path, 12, "some")
    assert not tally.faults, tally.faults


@pytest.mark.slow
def test_many_damaged_stores(tmp_path: Path) -> None:
    tally = attack(tmp_path, MANY, "many")
    print(f"{MANY:,} damaged stores: {tally}")
    assert not tally.faults, tally.faults
