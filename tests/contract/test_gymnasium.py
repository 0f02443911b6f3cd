"""What Gymnasium does with environments works with those of the registry: pickling, vectors, wrappers, its checker."""

import pickle
from functools import partial
from typing import Any

import gymnasium
import pytest
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, RecordEpisodeStatistics, TimeLimit

from agentrl import TextEnv, make
from agentrl.registry import registered

IDS = [env_id for env_id in registered() if env_id.startswith("agentrl/")]


def play(env: Any, turns: int = 3) -> list[Any]:
    seen = [env.reset(seed=5)]
    for _ in range(turns):
        actions = seen[-1][-1]["admissible_actions"]
        seen.append(env.step(actions[-1] if actions else "look"))
    return seen


@pytest.mark.parametrize("env_id", IDS)
def test_an_environment_can_be_pickled_before_and_within_an_episode(env_id: str) -> None:
    env = make(env_id)
    copy = pickle.loads(pickle.dumps(env))
    assert play(copy) == play(env)
    again = pickle.loads(pickle.dumps(env))
    assert isinstance(again, TextEnv)
    assert again.step("look") == env.step("look")


@pytest.mark.parametrize("env_id", IDS)
@pytest.mark.parametrize("kind", [SyncVectorEnv, partial(AsyncVectorEnv, shared_memory=False)])
def test_environments_can_be_played_in_a_vector(env_id: str, kind: Any) -> None:
    vector = kind([partial(gymnasium.make, env_id)] * 2)
    observations, _ = vector.reset(seed=5)
    alone, _ = make(env_id).reset(seed=5)
    assert observations[0] == alone
    observations, rewards, *_ = vector.step(["look", "nonsense"])
    assert len(observations) == 2 and rewards.tolist() == [0.0, 0.0]
    vector.close()


@pytest.mark.parametrize("env_id", IDS)
def test_the_usual_wrappers_and_the_checker_take_an_environment(env_id: str) -> None:
    env = RecordEpisodeStatistics(TimeLimit(OrderEnforcing(PassiveEnvChecker(make(env_id))), 3))
    *_, (_, _, _, truncated, info) = play(env)
    assert truncated and info["episode"]["l"] == 3
    check_env(make(env_id), skip_render_check=True)
