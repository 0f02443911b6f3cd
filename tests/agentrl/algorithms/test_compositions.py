"""Compositions that no recipe names, from configurations alone: two iterations on the maze and in the household."""

import math
from pathlib import Path
from typing import Any

import pytest

from agentrl.trainer.loop import run_training
from tests.agentrl.algorithms.test_household_runs import HOUSEHOLD
from tests.agentrl.trainer.tiny import records, tiny_config

COMPOSITIONS: dict[str, dict[str, dict[str, Any]]] = {
    "gigpo on arpo with cispo": {
        "algorithm": {"name": "arpo", "base": "gigpo"},
        "loss": {"kind": "cispo", "clip_high": 0.3},
        "rollout": {"sampler": {"name": "arpo", "initial": 2}},
    },
    "salt over dapo": {"algorithm": {"name": "salt", "base": "dapo"}, "filter": {"max_refills": 1}},
    "empg over treepo": {"algorithm": {"name": "empg", "base": "treepo"}, "filter": {"max_refills": 1}},
    "gigpo by similarity": {"algorithm": {"name": "gigpo", "similarity": 0.9}},
    "hcapo": {"algorithm": {"name": "hcapo"}},
}
WORLDS: dict[str, dict[str, Any]] = {"maze": {}, "household": HOUSEHOLD}


@pytest.mark.slow
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("name", COMPOSITIONS)
def test_two_iterations(name: str, world: str, tmp_path: Path) -> None:
    changes: dict[str, dict[str, Any]] = {"run": {"iterations": 2, "save_trajectories_every": 0}}
    for section in (WORLDS[world], COMPOSITIONS[name]):
        changes |= section
    assert run_training(tiny_config(tmp_path / "run", **changes)) == 0
    done = [record for record in records(tmp_path / "run") if record["stage"] == "reinforce"]
    assert [record["index"] for record in done] == [1, 2]
    assert all(math.isfinite(value) for record in done for value in record.values() if isinstance(value, float))
