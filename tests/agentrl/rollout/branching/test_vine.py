"""VinePPO's sampler: whole episodes first, then continuations from each of their states."""

from collections import Counter

import numpy as np
import pytest

from agentrl import credit
from agentrl.engines.base import Completion
from agentrl.errors import ConfigError
from agentrl.rollout.branching import FRESH, Path, Start, Vine, make_sampler
from agentrl.trainer.credit import turn_table
from agentrl.types import StopReason
from tests.agentrl.rollout.branching.test_branching_loop import check_group, play

NONE = np.zeros(0, np.float32)
SAID = Completion(np.zeros(0, np.int32), NONE, NONE, StopReason.END, 0)


def test_states_are_continued_in_turn() -> None:
    plan = Vine(episodes=2).plan(12, 0, 0)
    assert plan.grow([], 12) == [FRESH] * 2
    paths = [Path(0, turns=[SAID] * 3, is_live=False), Path(1, turns=[SAID], is_live=True)]
    assert plan.grow(paths, 10) == []
    paths[1].is_live = False
    states = {Start(0, 0), Start(0, 1), Start(0, 2), Start(1, 0)}
    starts = plan.grow(paths, 10)
    assert set(starts[:4]) == set(starts[4:8]) == states and len(set(starts[8:])) == 2
    assert sorted(decision["turn"] for decision in paths[0].decisions) == sorted(s.turn for s in starts if not s.parent)
    orders = {tuple(Vine(episodes=2).plan(12, seed, 0).grow(paths, 4)) for seed in range(20)}
    assert len(orders) > 5, "which states come first is drawn"


def test_lost_episodes_are_not_continued() -> None:
    plan = Vine().plan(6, 0, 0)
    lost = Path(1, turns=[SAID] * 5, is_live=False, is_lost=True)
    assert plan.grow([Path(0, turns=[SAID], is_live=False), lost], 4) == [Start(0, 0)] * 4
    assert plan.grow([lost], 4) == []


@pytest.mark.parametrize("kind", ["append", "window"])
def test_continuations_give_the_values_of_the_states(kind: str) -> None:
    result = play(Vine(episodes=2), size=16, kind=kind)
    check_group(result.trajectories)
    by_id = {trajectory.id: trajectory for trajectory in result.trajectories}
    forked = Counter((t.parent.parent, t.parent.turn) for t in result.trajectories if t.parent)
    states = {(t.id, turn) for t in result.trajectories if not t.parent for turn in range(len(t.turns))}
    assert set(forked) <= states and sum(forked.values()) == 14 * len({t.group for t in result.trajectories})
    table = turn_table(result.trajectories)
    value_N = credit.vine_values(table)
    offset = 0
    for one in result.trajectories:
        for turn in one.turns:
            forks = [t for t in by_id.values() if t.parent and (t.parent.parent, t.parent.turn) == (one.id, turn.index)]
            earned = [sum(later.reward for later in fork.turns[turn.index :]) for fork in forks]
            np.testing.assert_allclose(value_N[offset], np.mean(earned) if earned else np.nan)
            offset += 1


def test_something_is_left_for_continuations() -> None:
    sampler = make_sampler({"name": "vine", "episodes": 4})
    with pytest.raises(ConfigError, match=r"sampler.episodes is 4 of a group of 4: none is left"):
        sampler.plan(4, 0, 0)
