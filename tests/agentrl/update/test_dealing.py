"""An update is the same on any number of processes, and each of them has its share of it to do."""

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agentrl import seeding
from agentrl.algorithms import DRPO, P3O
from agentrl.algorithms.base import LossSettings
from agentrl.trainer.config import WarmStartConfig
from agentrl.trainer.warm_start import WarmStart
from agentrl.types import Trajectory
from agentrl.update.batch import Sample, spread
from agentrl.update.critic import Critic, TokenCredit
from agentrl.update.dealing import exchange, mini_batches, own_share, worth_keeping
from agentrl.update.optimizer import Optimizer
from agentrl.update.settings import CriticSettings, UpdateSettings
from agentrl.update.update import Updater
from tests.agentrl.engines.tiny import build
from tests.agentrl.update.processes import simulate
from tests.agentrl.update.samples import sequence, trajectory

GROUPS = 6
POLICY = build("qwen3").double()
PROCESSES = (1, 2, 4)


def played() -> list[Trajectory]:
    """Return six groups of two episodes, of different lengths; some have a sequence for each turn."""
    result = []
    for number in range(2 * GROUPS):
        group, member = divmod(number, 2)
        sequences = [sequence([-1, -1, *[0] * (1 + group), -1, 1, 1], seed=number)]
        if group == 3:
            sequences = [sequence([-1, 0, 0], seed=number), sequence([-1, -1, 1], seed=100 + number)]
        one = trajectory(*sequences, name=f"{group}/{member}")
        result.append(replace(one, group=str(group)))
    return result


def policy() -> Any:
    """Return a policy of this process's own."""
    return copy.deepcopy(POLICY)


def mine(trajectories: Sequence[Trajectory], rank: int, size: int) -> list[Trajectory]:
    """Return what a process has played: every ``size``-th group."""
    return [one for one in trajectories if int(one.group) % size == rank]


def advantages_of(trajectories: Sequence[Trajectory]) -> np.ndarray:
    """Return an advantage for each turn: that of its episode."""
    worth = [np.sin(1.0 + 2 * int(one.group) + int(one.id[-1])) for one in trajectories]
    return np.repeat(worth, [len(one.turns) for one in trajectories])


def assert_same(runs: Sequence[Sequence[tuple[dict[str, Tensor], dict[str, float]]]]) -> None:
    """Check that all processes of all runs have the same weights and metrics as the first."""
    weights, metrics = runs[0][0]
    for others, numbers in (one for run in runs for one in run):
        assert numbers == pytest.approx(metrics, rel=1e-5, abs=1e-7)
        for name, weight in weights.items():
            torch.testing.assert_close(others[name], weight, rtol=1e-6, atol=1e-6)


LOSSES = {
    "plain": (LossSettings(), {}),
    "whole groups": (LossSettings(), {"keep_groups": True}),
    "turn ratios, most uncertain tokens": (LossSettings(ratio_level="turn", token_share=0.5), {}),
    "over sequences": (LossSettings(ratio_level="sequence", aggregation="sequence_mean"), {}),
    "decisions": (LossSettings(decision_coef=0.2, entropy_coef=0.1), {}),
    "drpo": (DRPO().loss_at(0), {}),
    "p3o": (P3O().loss_at(0), {}),
}


@pytest.mark.parametrize("name", LOSSES)
def test_update(name: str) -> None:
    loss, options = LOSSES[name]
    trajectories = played()

    def work(rank: int, size: int) -> tuple[dict[str, Tensor], dict[str, float]]:
        model = policy()
        own = mine(trajectories, rank, size)
        config = UpdateSettings(minibatches=4, epochs=2, old_logprobs="recompute")
        updater = Updater(model, None, Optimizer(model), config, loss, most_tokens=12, **options)
        metrics = updater.run(spread(own, advantages_of(own)), lr=1e-3, rng=seeding.generator(0, "deal"))
        return model.state_dict(), metrics

    assert_same([simulate(size, lambda rank, size=size: work(rank, size)) for size in PROCESSES])


def test_critic() -> None:
    trajectories = played()

    def work(rank: int, size: int) -> tuple[dict[str, Tensor], dict[str, float]]:
        critic = Critic.of(policy(), CriticSettings(minibatches=3, epochs=2), UpdateSettings())
        own = mine(trajectories, rank, size)
        values_A = critic.evaluate(own)
        ids_A = [sequence.ids_L[sequence.action_mask_L] for one in own for sequence in one.sequences]
        credit = TokenCredit(values_A, values_A, np.concatenate([np.zeros(0), *ids_A]) / 260)
        metrics = critic.fit(own, credit, rng=seeding.generator(0, "deal"))
        return critic.model.state_dict(), metrics

    assert_same([simulate(size, lambda rank, size=size: work(rank, size)) for size in PROCESSES])


def test_warm_start() -> None:
    trajectories = played()

    def work(rank: int, size: int) -> tuple[dict[str, Tensor], dict[str, float]]:
        model = policy()
        config = WarmStartConfig(steps=6, batch_tokens=20, warmup_steps=0, target_accuracy=1.0)
        metrics: dict[str, float] = {}
        stage = WarmStart(config, model, Optimizer(model), seed=0)
        stage.run(mine(trajectories, rank, size), on_step=lambda step, own: metrics.update(own) is None)
        return model.state_dict(), metrics

    runs = [simulate(size, lambda rank, size=size: work(rank, size)) for size in PROCESSES]
    assert "held_out_accuracy" in runs[0][0][1]
    assert_same(runs)


def test_whole_groups_are_kept_where_members_share_a_tenth() -> None:
    apart = [sequence([-1] * 10 + [0] * 10, seed=seed) for seed in range(4)]
    shared = apart[0].ids_L[:4]
    alike = [replace(one, ids_L=np.concatenate([shared, one.ids_L[4:]])) for one in apart]
    for sequences, is_worth in ((apart, False), (alike, True)):
        episodes = [trajectory(one, name=str(number)) for number, one in enumerate(sequences)]
        assert worth_keeping(spread(episodes, np.ones(4))) is is_worth
        alone = [replace(one, group=one.id) for one in episodes]
        assert not worth_keeping(spread(alone, np.ones(4))), "nobody to share with"
    assert not worth_keeping([])


def test_exchange_keeps_turns_apart_and_sorts_episodes() -> None:
    trajectories = played()

    def work(rank: int, size: int) -> list[Sample]:
        own = mine(trajectories, rank, size)
        return exchange(spread(own, advantages_of(own)))

    [alone], *others = [simulate(size, lambda rank, size=size: work(rank, size)) for size in PROCESSES]
    assert [sample.trajectory for sample in alone] == sorted(sample.trajectory for sample in alone)
    for parts in others:
        assert all([s.trajectory for s in part] == [s.trajectory for s in alone] for part in parts)
        rows = [set(sample.rows_L[sample.rows_L >= 0]) for sample in parts[0]]
        assert sum(map(len, rows)) == len(set.union(*rows)) == sum(len(one.turns) for one in trajectories)


@settings(deadline=None, max_examples=20)
@given(st.lists(st.integers(0, 2 * GROUPS - 1), unique=True), st.integers(1, 4), st.integers(0, 3))
def test_shares_are_a_partition_into_episodes_of_even_tokens(chosen: list[int], size: int, seed: int) -> None:
    some = [played()[number] for number in chosen]
    [minibatch] = mini_batches(spread(some, advantages_of(some)), 1, seeding.generator(seed, "deal"))
    shares = simulate(size, lambda rank: own_share(minibatch))
    assert sorted(id(s) for share in shares for s in share) == sorted(map(id, minibatch))
    owners = [{sample.trajectory for sample in share} for share in shares]
    assert sum(map(len, owners)) == len(some)
    longest = max((sum(map(len, one.sequences)) for one in some), default=0)
    tokens = [sum(map(len, share)) for share in shares]
    assert max(tokens) - min(tokens) <= 2 * longest
