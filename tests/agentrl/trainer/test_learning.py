"""The whole loop learns: imitation of a fallible demonstrator, then better than what was imitated."""

from pathlib import Path

import pytest

from agentrl.trainer.loop import run_training
from tests.agentrl.trainer.tiny import records, tiny_config


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_tiny_policy_learns_the_maze(tmp_path: Path, seed: int) -> None:
    """On 200 unseen mazes, from a success of about 0.44 by 0.45, 0.39 and 0.22 when this was written."""
    config = tiny_config(
        tmp_path / "run",
        env={"kwargs": {"size": 2, "max_turns": 10}},
        warm_start={"steps": 100, "demonstrations": 200, "demonstrator": {"wander": 0.4}},
        rollout={"tasks_per_iteration": 8, "group_size": 8, "concurrency": 64},
        algorithm={"invalid_penalty": 0.0},
        loss={"kl_coef": 0.0, "clip_high": 0.28},
        update={"lr": 2e-3},
        eval={"tasks": 200, "greedy": False},
        run={"iterations": 40, "seed": seed, "checkpoint_every": 100},
    )
    assert run_training(config) == 0
    success = [r["sampled/success"] for r in records(tmp_path / "run") if "sampled/success" in r]
    imitated, learned = success
    assert imitated > 0.25
    assert learned > imitated + 0.1
    training = [r["success"] for r in records(tmp_path / "run") if r["stage"] == "reinforce"]
    assert sum(training[-10:]) > sum(training[:10]), "and not by the luck of the held-out mazes"
