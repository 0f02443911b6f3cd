"""Worlds of others: Gymnasium's own frozen lake, and a text world with a limit of its own."""

from functools import partial
from typing import Any

import gymnasium
import numpy as np
import pytest

from agentrl import Outcome, SnapshotLevel, testing
from agentrl.adapters import GymnasiumEnv, from_gymnasium
from agentrl.env import FreeText
from agentrl.errors import ConfigError
from agentrl.testing import LAWS, Case

WORDS = ["left", "down", "right", "up"]


class Steps(gymnasium.Env[str, str]):
    """Count upwards as far as the seed says; a text world without snapshots, keys and solutions."""

    def __init__(self) -> None:
        self.observation_space = self.action_space = FreeText()

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[str, dict[str, Any]]:
        super().reset(seed=seed)
        self.at, self.goal = 0, int(self.np_random.integers(3, 6))
        return f"{self.at} of {self.goal}", {"admissible_commands": ["up", "down"]}

    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self.at += {"up": 1, "down": -1}.get(action, 0)
        done = self.at == self.goal
        info = {
            "won": done,
            "admissible_commands": ["up", "down"],
            "action_valid": action in ("up", "down"),
            "metrics": {"height": float(self.at)},
        }
        return f"{self.at} of {self.goal}", float(done), done, False, info


gymnasium.register("adapted/Steps-v0", entry_point=Steps, max_episode_steps=12)


class SolvedSteps(GymnasiumEnv):
    """With the solution that Steps does not know."""

    def __init__(self, **rest: Any) -> None:
        super().__init__("adapted/Steps-v0", sizes={"train": 20, "valid": 20}, **rest)

    def _solve(self) -> list[str]:
        inner = self.world.unwrapped
        assert isinstance(inner, Steps)
        return ["up" if inner.goal > inner.at else "down"] * abs(inner.goal - inner.at)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__.removeprefix("check_"))
def test_an_adapted_world_with_a_solution_keeps_the_contract(law: testing.Law) -> None:
    law(Case(SolvedSteps, seeds=(0, 1), turns=5))


def test_the_wrappers_of_the_world_are_kept() -> None:
    env = from_gymnasium("adapted/Steps-v0")
    env.reset(seed=0)
    for _ in range(11):
        assert env.step("wait")[2:4] == (False, False)
    *_, terminated, truncated, info = env.step("wait")
    assert (terminated, truncated, info["outcome"]) == (False, True, Outcome.TRUNCATED)
    assert info["outcome_reason"] == "the world's own limit"
    assert info["metrics"] == {"height": 0.0}


def test_words_stand_for_the_actions_of_a_discrete_space() -> None:
    make = partial(from_gymnasium, "FrozenLake-v1", env_kwargs={"is_slippery": False}, describe=str, actions=WORDS)
    env = make()
    observation, info = env.reset(seed=0)
    assert (observation, info["admissible_actions"]) == ("0", WORDS)
    assert env.step("fly")[4]["action_valid"] is False
    for action in ("down", "down", "right", "right", "down", "right"):
        fork = env.fork()
        answer, same = env.step(action), fork.step(action)
        assert answer == same
    assert (answer[1], answer[2], answer[4]["outcome"]) == (1.0, True, Outcome.SUCCESS)
    with pytest.raises(ConfigError, match="has 4 actions, and 2 words"):
        from_gymnasium("FrozenLake-v1", actions=["left", "right"])


def test_what_is_not_text_needs_a_description_and_what_is_not_there_a_name() -> None:
    with pytest.raises(ConfigError, match="not a string: say by describe"):
        from_gymnasium("FrozenLake-v1").reset(seed=0)
    with pytest.raises(ConfigError, match="FrozenLak"):
        from_gymnasium("FrozenLak-v1")


def test_level_none_cannot_be_branched_and_the_global_generators_are_left_alone() -> None:
    env = from_gymnasium("adapted/Steps-v0", level="none")
    state = np.random.get_state()[1].tolist()  # noqa: NPY002
    env.reset(seed=0)
    assert env.snapshot_level is SnapshotLevel.NONE
    assert np.random.get_state()[1].tolist() == state  # noqa: NPY002
    env.close()
