"""From the critic's values to the advantages of tokens, and to what the critic is to learn.

Axis suffixes: ``_N`` turns of this process's trajectories, ``_A`` their sampled tokens in the order of `token_rows`,
``_K`` those of them that have a value.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentrl.algorithms.critic import CriticRecipe, Tokens
from agentrl.curriculum import GroupFilter
from agentrl.env import Outcome
from agentrl.trainer.credit import kept_turns
from agentrl.types import Trajectory
from agentrl.update import distributed
from agentrl.update.batch import Sample, spread, spread_tokens, token_rows
from agentrl.update.critic import TokenCredit

FloatN = NDArray[np.float64]
EPSILON = 1e-8


@dataclass(frozen=True, slots=True)
class Credit:
    """What an iteration's turns earned.

    Attributes:
      advantages_N: of each turn, NaN where it is not scored; the mean of its tokens where they have their own.
      tokens: of each token; None where it is its turn's.
    """

    advantages_N: FloatN
    tokens: TokenCredit | None = None

    def samples(self, trajectories: Sequence[Trajectory]) -> list[Sample]:
        """Return what the policy is trained on."""
        if self.tokens is None:
            return spread(trajectories, self.advantages_N)
        return spread_tokens(trajectories, self.tokens.advantages_A)


def assign_token_credit(
    recipe: CriticRecipe,
    trajectories: Sequence[Trajectory],
    values_A: FloatN,
    group_filter: GroupFilter | None = None,
) -> Credit:
    """Return the credit of this process's trajectories. Tokens without a value (NaN) are as if they were not there."""
    has_value_A = np.isfinite(values_A)
    rows_A = token_rows(trajectories)
    estimates_A, targets_A = np.full(len(rows_A), np.nan), np.full(len(rows_A), np.nan)
    estimates_A[has_value_A], targets_A[has_value_A] = _estimate(
        recipe, trajectories, rows_A[has_value_A], values_A[has_value_A]
    )
    kept_N = kept_turns(recipe, trajectories, group_filter)
    advantages_A = np.where(kept_N[rows_A], estimates_A, np.nan)
    if recipe.whiten:
        mean, variance = distributed.moments(advantages_A[np.isfinite(advantages_A)])
        advantages_A = (advantages_A - mean) / (np.sqrt(variance) + EPSILON)
    return Credit(_turn_means(advantages_A, rows_A, len(kept_N)), TokenCredit(advantages_A, values_A, targets_A))


def _estimate(
    recipe: CriticRecipe, trajectories: Sequence[Trajectory], rows_K: NDArray[np.int64], values_K: FloatN
) -> tuple[FloatN, FloatN]:
    """Return advantages and targets of the tokens with values.

    A turn's reward is given at its last token; that of a turn without one at the last token before it.
    """
    trajectory_N = np.repeat(np.arange(len(trajectories)), [len(trajectory.turns) for trajectory in trajectories])
    segments_K = trajectory_N[rows_K]
    last_N = np.searchsorted(rows_K, np.arange(len(trajectory_N)), side="right") - 1
    reached_N = last_N >= 0
    reached_N[reached_N] = segments_K[last_N[reached_N]] == trajectory_N[reached_N]
    reward_N = np.array([turn.reward for trajectory in trajectories for turn in trajectory.turns])
    rewards_K = np.zeros(len(rows_K))
    np.add.at(rewards_K, last_N[reached_N], reward_N[reached_N])
    bootstrap_K = np.zeros(len(rows_K))
    if recipe.bootstrap_truncated:
        is_cut_M = np.array([trajectory.outcome is Outcome.TRUNCATED for trajectory in trajectories], dtype=bool)
        turn_start_K = np.searchsorted(rows_K, rows_K, side="left")
        bootstrap_K = np.where(is_cut_M[segments_K], values_K[turn_start_K], 0.0)
    is_turn_end_K = np.ones(len(rows_K), dtype=bool)
    is_turn_end_K[:-1] = rows_K[1:] != rows_K[:-1]
    return recipe.token_advantages(Tokens(rewards_K, values_K, segments_K, is_turn_end_K, bootstrap_K))


def _turn_means(advantages_A: FloatN, rows_A: NDArray[np.int64], num_turns: int) -> FloatN:
    scored_A = np.isfinite(advantages_A)
    counts_N = np.bincount(rows_A[scored_A], minlength=num_turns)
    sums_N = np.bincount(rows_A[scored_A], advantages_A[scored_A], minlength=num_turns)
    return np.where(counts_N > 0, sums_N / np.maximum(counts_N, 1), np.nan)
