"""The fallible demonstrator in the shop: it errs by what can be clicked, and its episodes end."""

import numpy as np
import pytest

from agentrl.rollout.fallible import FallibleExpert
from agentrl.seeding import generator
from agentrl_envs.webshop.env import SEARCH_ACTION, WebShopEnv


@pytest.fixture(scope="module")
def env() -> WebShopEnv:
    return WebShopEnv(catalogue={"products": 300, "difficulty": "easy"})


def play(env: WebShopEnv, number: int, **chances: float) -> tuple[list[str], float]:
    """Return the actions and the reward of an episode."""
    observation, info = env.reset(options={"task": f"train/{number}"})
    expert = FallibleExpert.of(env, generator(0, "demonstrator", number), **chances)
    actions, is_over, reward = [], False, 0.0
    while not is_over:
        actions.append(expert(observation, info))
        observation, reward, terminated, truncated, info = env.step(actions[-1])
        is_over = terminated or truncated
    return actions, reward


def test_errors_cost_reward_and_leave_no_blank(env: WebShopEnv) -> None:
    chances = [{"wander": 0.0}, {"wander": 0.3}, {"wander": 0.0, "lapse": 0.3}, {"wander": 0.0, "mistake": 0.3}]
    right, *wrong = ([play(env, number, **one) for number in range(25)] for one in chances)
    mean = float(np.mean([reward for _, reward in right]))
    assert mean > 0.9
    for episodes in wrong:
        assert np.mean([reward for _, reward in episodes]) < mean - 0.1
        assert SEARCH_ACTION not in {action for actions, _ in episodes for action in actions}


def test_the_same_stream_errs_the_same(env: WebShopEnv) -> None:
    assert play(env, 3, wander=0.3) == play(env, 3, wander=0.3)
