"""Every algorithm by its name: a whole small run in the household, two iterations after a short warm start."""

import math
from pathlib import Path
from typing import Any

import pytest

from agentrl.algorithms.base import recipes
from agentrl.trainer.checks.composition import UNMET
from agentrl.trainer.loop import run_training
from tests.agentrl.trainer.tiny import records, tiny_config

pytestmark = pytest.mark.slow
NAMES = sorted(name for name, recipe in recipes().items() if not recipe().required() & {*UNMET, "answers"})
HOUSEHOLD = {
    "env": {
        "id": "agentrl/Household-v0",
        "kwargs": {"max_turns": 8, "generator": {"receptacles": [6, 8], "objects": [4, 8]}},
    },
    "context": {"max_turn_tokens": 12, "max_context": 512},
    "eval": {"tasks": 1, "greedy": False},
}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that has seen what commands look like."""
    directory = tmp_path_factory.mktemp("household") / "warm"
    changes: dict[str, Any] = {
        "policy": {"build": {"hidden_size": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 600}},
        "warm_start": {"demonstrations": 100, "steps": 40, "batch_tokens": 2048},
        "run": {"iterations": 0, "save_trajectories_every": 0},
    }
    assert run_training(tiny_config(directory, **HOUSEHOLD, **changes)) == 0
    return directory / "policy"


@pytest.mark.parametrize("name", NAMES)
def test_two_iterations(name: str, policy: Path, tmp_path: Path) -> None:
    config = tiny_config(
        tmp_path / "run",
        **HOUSEHOLD,
        policy={"path": str(policy)},
        warm_start={"steps": 0},
        algorithm={"name": name},
        rollout={"tasks_per_iteration": 2},
        filter={"max_refills": 1} if recipes()[name].max_refills else {},
        run={"iterations": 2, "save_trajectories_every": 0},
    )
    assert run_training(config) == 0
    done = [record for record in records(tmp_path / "run") if record["stage"] == "reinforce"]
    assert [record["index"] for record in done] == [1, 2]
    assert all(math.isfinite(value) for record in done for value in record.values() if isinstance(value, float))
    assert (tmp_path / "run" / "report.md").exists() and (tmp_path / "run" / "policy").is_dir()
