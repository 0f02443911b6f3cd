"""Runs of the real engine (alfworld 0.4.2, textworld 1.7.0), string by string."""

import json
import random
from typing import Any

import pytest

from agentrl_envs.household.env import HouseholdEnv
from agentrl_envs.household.games import OfficialGames
from agentrl_envs.household.world import World
from tests.shared_data import shared_data


@pytest.fixture(scope="module")
def runs() -> list[dict[str, Any]]:
    lines = shared_data("alfworld", "transcripts_dev.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_recorded_runs_replay_without_a_difference(official: OfficialGames, runs: list[dict[str, Any]]) -> None:
    env = HouseholdEnv(official, max_turns=None)
    num_steps = 0
    for run in runs:
        observation, info = env.reset(options={"task": run["game"]})
        assert observation == run["initial_observation"]
        assert info["admissible_actions"] == run["initial_admissible"]
        assert env.task is not None and env.task.split == run["split"]
        for number, step in enumerate(run["steps"]):
            possible = info["admissible_actions"]
            observation, reward, terminated, truncated, info = env.step(step["action"])
            where = f"{run['game']}, {run['policy']}, step {number}: {step['action']!r}"
            assert observation == step["observation"], where
            assert info["admissible_actions"] == step["admissible"], where
            assert (reward, terminated, info["success"]) == (step["reward"], step["done"], step["won"]), where
            assert info["action_valid"] == (step["action"].strip() in possible), where
            assert not truncated
            num_steps += 1
    assert len(runs) == 34 and num_steps == sum(run["n_steps"] for run in runs)


def wins_by_its_walkthrough(official: OfficialGames, game_id: str) -> bool:
    """True if the game's own walkthrough wins with its last command and not before."""
    world = World(official.load(game_id))
    state, won = world.initial(), []
    for command in world.game.walkthrough:
        result = world.apply(state, command)
        assert result is not None, f"{game_id}: {command!r} is not possible"
        state = result[0]
        won.append(world.won(state))
    return won == [False] * (len(won) - 1) + [True]


def test_walkthroughs_of_a_sample_win(official: OfficialGames) -> None:
    every = [game_id for ids in official.splits.values() for game_id in ids]
    lost = [i for i in random.Random(0).sample(every, 150) if not wins_by_its_walkthrough(official, i)]
    assert not lost


@pytest.mark.slow
def test_every_walkthrough_wins(official: OfficialGames) -> None:
    every = [game_id for ids in official.splits.values() for game_id in ids]
    assert len(every) == 4027
    assert not [i for i in every if not wins_by_its_walkthrough(official, i)]
