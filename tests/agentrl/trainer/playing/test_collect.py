"""What an iteration plays: tasks by a curriculum, refills, and the same after a resumption."""

from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from agentrl.algorithms.base import make_recipe
from agentrl.env import Outcome
from agentrl.errors import ConfigError
from agentrl.rollout import RolloutResult
from agentrl.rollout.group import EpisodeSpec
from agentrl.trainer.directory.checkpoint import check_checkpoint
from agentrl.trainer.loop import run_training
from agentrl.trainer.playing.collect import Collector, max_refills
from agentrl.types import Trajectory, Turn
from agentrl.update import distributed
from agentrl_envs import maze
from tests.agentrl.trainer.tiny import assert_same_run, records, run_in_two_parts, tiny_config

TASKS = [f"train/{number}" for number in range(40)]


class Player:
    """Plays each episode in one turn: the members of odd tasks differ, those of even ones all succeed."""

    def __init__(self) -> None:
        self.calls: list[list[EpisodeSpec]] = []

    def __call__(self, specs: list[EpisodeSpec]) -> RolloutResult:
        self.calls.append(specs)
        result = RolloutResult(wall_s=1.0, env_s=0.5)
        for spec in specs:
            member, number = int(spec.id.split("/")[-1]), int(spec.task_id.split("/")[-1])
            success = number % 2 == 0 or member == 0
            turn = Turn(0, "look", "go", "go", True, float(success), "start")
            outcome = Outcome.SUCCESS if success else Outcome.FAILURE
            result.trajectories.append(
                Trajectory(spec.id, spec.group, spec.task_id, 0, [turn], outcome=outcome, success=success)
            )
        return result


def collector(directory: Path, refills: int = 0, **curriculum: Any) -> tuple[Collector, Player]:
    player = Player()
    return Collector(tiny_config(directory, curriculum=curriculum), TASKS, player, refills), player


def test_as_many_are_played_again_as_were_dropped(tmp_path: Path) -> None:
    collecting, player = collector(tmp_path, refills=50)
    for iteration in range(6):
        player.calls.clear()
        result = collecting.collect(iteration)
        wanted = 4
        for specs in player.calls:
            assert len(specs) == 4 * wanted, "four episodes for each group that is missing"
            wanted -= len({spec.group for spec in specs if int(spec.task_id.split("/")[1]) % 2})
        assert wanted == 0
        groups = [trajectory.group for trajectory in result.trajectories]
        assert len(groups) == 4 * len(set(groups)), "no number of a group is used twice"
        assert collecting.metrics() == {"groups_played": len(set(groups)), "refills": len(player.calls) - 1}
        assert (result.wall_s, result.env_s) == (len(player.calls), 0.5 * len(player.calls))
    assert len(player.calls) > 1


def test_refills_end(tmp_path: Path) -> None:
    for most in (0, 1, 2):
        collecting, player = collector(tmp_path, refills=most)
        collecting._tasks = TASKS[::2]  # nothing to learn from any
        collecting.collect(0)
        assert len(player.calls) == 1 + most
        assert collecting.metrics() == {"groups_played": 4.0 * (1 + most), "refills": most}


def test_without_a_curriculum_tasks_depend_on_the_iteration_alone(tmp_path: Path) -> None:
    one, player = collector(tmp_path)
    for iteration in (0, 1, 0):
        one.collect(iteration)
    first, second, again = player.calls
    assert first == again != second
    assert one.state_dict() == {}


def test_processes_share_out_the_same_tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, player = collector(tmp_path)
    whole.collect(0)
    expected, shares = player.calls[0], []
    for rank in range(3):
        part, player = collector(tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(distributed, "rank", lambda rank=rank: rank)
            patch.setattr(distributed, "world_size", lambda: 3)
            patch.setattr(distributed, "all_sum", lambda values: values)
            part._play_groups(0, 4)
        shares.append(player.calls[0])
    assert sorted(chain.from_iterable(shares), key=lambda spec: spec.id) == expected


def test_the_curriculum_learns_what_was_played(tmp_path: Path) -> None:
    collecting, player = collector(tmp_path, name="srpo_history", epoch_groups=4)
    collecting.collect(0)
    solved = {spec.task_id for spec in player.calls[0] if int(spec.task_id.split("/")[1]) % 2 == 0}
    assert set(collecting.state_dict()["too_easy"]) == solved != set()
    resumed, again = collector(tmp_path, name="srpo_history", epoch_groups=4)
    resumed.load_state_dict(collecting.state_dict())
    for one in (collecting, resumed):
        one.collect(1)
    assert player.calls[1] == again.calls[0]
    assert solved.isdisjoint(spec.task_id for spec in again.calls[0])


def test_refills_belong_to_dynamic_sampling(tmp_path: Path) -> None:
    def most(algorithm: str, **group_filter: Any) -> int:
        config = tiny_config(tmp_path, algorithm={"name": algorithm}, filter=group_filter)
        return max_refills(config, make_recipe(config.algorithm))

    assert most("dapo") == 9 and most("dapo", max_refills=2) == 2 and most("dapo", name="none") == 0
    assert most("treepo") == 10 - 1 and most("hapo") == 16 - 1, "rollouts of their scripts, less the first"
    assert most("grpo") == 0 and most("grpo", name="dynamic_sampling") == 0
    assert most("grpo", name="dynamic_sampling", max_refills=3) == 3
    with pytest.raises(ConfigError, match="max_refills is 3, but the filter is 'top_variance'"):
        most("grpo", name="top_variance", max_refills=3)


def test_bounds_of_classes_are_in_order(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"curriculum: hard 0.8 must be less than medium 0.7"):
        tiny_config(tmp_path, curriculum={"hard": 0.8})


@pytest.mark.parametrize(
    "name", ["spo", *(pytest.param(name, marks=pytest.mark.slow) for name in ("clpo", "srpo_history"))]
)
def test_resumed_with_a_curriculum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Interrupted and resumed is the same run, bit for bit, and not the run without a curriculum."""
    changes: dict[str, Any] = {
        "warm_start": {"steps": 20},
        "algorithm": {"name": "grpo"},
        "curriculum": {"name": name, "epoch_groups": 8, "solved_weight": 0.01},
        "filter": {"name": "dynamic_sampling", "max_refills": 2},
        "eval": {"tasks": 1, "greedy": False},
        "run": {"iterations": 3},
    }
    monkeypatch.setattr(maze, "SIZES", maze.SIZES | {"train": 12})
    one, other = tmp_path / "one", tmp_path / "other"
    assert run_training(tiny_config(one, **changes)) == 0
    folder = run_in_two_parts(other, monkeypatch, 2, **changes)
    assert check_checkpoint(folder).curriculum
    assert_same_run(one, other)
    assert any(record["refills"] > 0 for record in records(one) if record["stage"] == "reinforce")
