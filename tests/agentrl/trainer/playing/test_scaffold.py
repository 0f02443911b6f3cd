"""Scaf-GRPO's hints: who gets them, what they replace, what counts as played."""

from pathlib import Path
from typing import Any

import pytest

from agentrl.algorithms import ScafGRPO
from agentrl.env import Outcome
from agentrl.errors import ConfigError
from agentrl.rollout import RolloutResult, group_specs
from agentrl.rollout.group import EpisodeSpec
from agentrl.trainer.playing.collect import Collector, group_outcomes
from agentrl.trainer.playing.scaffold import is_hinted, scaffold
from agentrl.trainer.setup import check_algorithm
from agentrl.types import Trajectory, Turn
from tests.agentrl.trainer.tiny import tiny_config

SPECS = group_specs(["easy", "hard", "never"], 3, seed=0, iteration=0)
NEEDED = {"easy": 0.0, "hard": 0.5, "never": 2.0}
"""The share of the plan that each task needs to be solved."""


class Player:
    """Solves a task once the hint says enough."""

    def __init__(self, lose: float | None = None) -> None:
        self.asked: list[EpisodeSpec] = []
        self.lose = lose

    def __call__(self, specs: list[EpisodeSpec]) -> RolloutResult:
        self.asked += specs
        result = RolloutResult(wall_s=1.0, env_s=0.5)
        for spec in specs:
            solved = spec.hint >= NEEDED[spec.task_id]
            one = Trajectory(spec.id, spec.group, spec.task_id, spec.env_seed, success=solved)
            one.turns = [Turn(0, "o", "a", "a", True, float(solved), "s", num_tokens=2)]
            lost = spec.hint == self.lose
            one.outcome = Outcome.INFRA_LOST if lost else Outcome.SUCCESS if solved else Outcome.FAILURE
            (result.accidents if lost else result.trajectories).append(one)
        return result


def test_hints_grow_until_they_help() -> None:
    player = Player()
    result = scaffold(player(list(SPECS)), SPECS, player, 4)
    tries = player.asked[len(SPECS) :]
    assert [(spec.task_id, spec.hint) for spec in tries] == [
        *[("hard", 0.25), ("never", 0.25), ("hard", 0.5), ("never", 0.5)],
        *[("never", 0.75), ("never", 1.0)],
    ]
    assert [t.success for t in result.trajectories] == [True] * 3 + [True, False, False] + [False] * 3
    assert [t.group for t in result.trajectories] == [spec.group for spec in SPECS], "groups keep size and place"
    helped = result.trajectories[3]
    assert is_hinted(helped) and helped.extra["hint"] == 0.5
    assert sum(is_hinted(t) for t in result.trajectories + result.spent) == 1
    assert len({t.id for t in result.played}) == len(result.played) == 9 + 6
    assert result.env_steps == 15 and result.num_sampled_tokens == 30, "what was played counts"
    assert result.wall_s == 5.0 and result.env_s == 2.5


def test_tries_are_episodes_of_their_own_from_the_same_state() -> None:
    player = Player()
    scaffold(player(list(SPECS)), SPECS, player, 4)
    tries = [spec for spec in player.asked if spec.hint]
    first = {spec.group: spec for spec in SPECS[::3]}
    assert len({spec.sampling_seed for spec in player.asked}) == len(player.asked)
    for spec in tries:
        assert spec.env_seed == first[spec.group].env_seed and spec.id.startswith(first[spec.group].id)


def test_an_accident_leaves_the_failure_and_the_next_hint() -> None:
    player = Player(lose=0.5)
    result = scaffold(player(list(SPECS)), SPECS, player, 4)
    assert result.trajectories[3].extra["hint"] == 0.75
    assert len(result.accidents) == 2 and all(t.outcome.is_verdict for t in result.trajectories)


def test_nothing_to_help() -> None:
    player = Player()
    solved = [spec for spec in SPECS if spec.task_id == "easy"]
    before = player(solved)
    after = scaffold(before, solved, player, 4)
    assert after.trajectories == before.trajectories and len(player.asked) == 3 and not after.spent
    assert scaffold(RolloutResult(), [], player, 4).trajectories == []


def test_curricula_do_not_see_a_hinted_success() -> None:
    player = Player()
    result = scaffold(player(list(SPECS)), SPECS, player, 4)
    outcomes = {task: successes for _, task, successes in group_outcomes(result.trajectories)}
    assert outcomes == {"easy": [1.0] * 3, "hard": [0.0] * 2, "never": [0.0] * 3}


def test_the_first_iterations_have_no_hints(tmp_path: Path) -> None:
    config = tiny_config(tmp_path, run={"iterations": 20}, rollout={"tasks_per_iteration": 3, "group_size": 3})
    player, recipe = Player(), ScafGRPO()
    collector = Collector(config, list(NEEDED), player, 0, recipe.hint_levels)
    numbers: list[Any] = []
    for iteration in (0, 2, 3, 19):
        player.asked.clear()
        result = collector.collect(iteration)
        numbers.append((any(spec.hint for spec in player.asked), collector.metrics()["groups_hinted"]))
        assert len(result.trajectories) == 9
    assert numbers == [(False, 0.0), (False, 0.0), (True, 1.0), (True, 1.0)]


@pytest.mark.parametrize(
    "rollout", [{"sampler": {"name": "arpo"}}, {"max_env_steps": 30}], ids=["forks", "shared budget"]
)
@pytest.mark.parametrize("name", ["scaf_grpo", "rlgf", "dr_po"])
def test_helpers_need_episodes_of_their_own(name: str, rollout: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"algorithm {name}\) needs episodes that are played one by one"):
        check_algorithm(tiny_config(tmp_path, algorithm={"name": name}, rollout=rollout))
