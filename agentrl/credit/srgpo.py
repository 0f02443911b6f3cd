"""SRGPO: step rewards compared in random groups.

Axis suffix: ``_N`` turns.
"""

from typing import Literal

import numpy as np

from agentrl.credit.group_relative import Weight, row_weights
from agentrl.credit.normalise import Scale, normalise
from agentrl.credit.returns import episode_returns
from agentrl.credit.segments import FloatN, IntN, order_by, pair
from agentrl.credit.table import TurnTable, base_advantages, scored_rows
from agentrl.errors import ConfigError, check_choice
from agentrl.seeding import generator


@scored_rows
def srgpo(
    table: TurnTable,
    *,
    seed: int,
    step_reward: FloatN | None = None,
    invalid_penalty: float = 0.0,
    group_size: int | None = 16,
    within: Literal["batch", "group"] = "batch",
    step_weight: float = 0.5,
    scale: Scale = "std",
    weight: Weight = "turn",
    eps: float = 1e-6,
) -> FloatN:
    """Episode advantage plus the step reward against random other turns, A = Aᴱ + ω Aˢ.

    Aᴱ is the group's z-score of the outcome, the rewards of the episode added up. All turns are shuffled and cut into
    groups of ``group_size``; Aˢ is the z-score of the step reward in such a group. No states need to match, but step
    rewards must mean the same everywhere. The last group may be smaller; one alone gets 0. An invalid action costs its
    own turn ``invalid_penalty``, of the outcome as that turn sees it and of its step reward; other turns of the episode
    see the outcome whole.

    Paper: SRGPO (SeeNav-Agent), arXiv:2512.02631, as in its public code. Differs from that: ``within="group"`` really
    samples inside the task's group (there a later branch overrides it), and a group of one turn gets 0.

    Args:
      table: turns; their rewards make the outcome.
      seed: of the shuffle.
      step_reward: verifiable reward of each turn, shape (N,), not part of the outcome; None for the rewards themselves.
      invalid_penalty: reward units, see above.
      group_size: turns per random group; None for all.
      within: draw a random group from the whole batch, or from one group.
      step_weight: ω.
      scale: for both parts.
      weight: what counts once in Aᴱ; the code counts turns.
      eps: added to standard deviations.
    """
    check_choice("within", within, ("batch", "group"))
    if group_size is not None and group_size < 1:
        raise ConfigError(f"group_size is {group_size}: give 1 or more turns, or None for all")
    step_N = base_advantages(table, table.reward_N if step_reward is None else step_reward)
    pool_N = table.group_N if within == "group" else np.zeros(len(table), dtype=np.int64)
    key_N, count = _random_groups(pool_N, group_size or max(1, len(table)), seed)
    price_N = invalid_penalty * table.invalid_N
    outcome_N = episode_returns(table)[table.trajectory_N] - price_N
    episode_N = normalise(
        outcome_N, table.group_N, table.num_groups, weight_I=row_weights(table, weight), scale=scale, eps=eps
    )
    return episode_N + step_weight * normalise(step_N - price_N, key_N, count, scale=scale, eps=eps)


def _random_groups(pool_N: IntN, size: int, seed: int) -> tuple[IntN, int]:
    """Cut each pool, shuffled, into groups of ``size``; return dense codes and their number."""
    shuffled = generator(seed, "srgpo").permutation(len(pool_N))
    order = order_by(pool_N, shuffled)
    length = np.bincount(pool_N)
    place_N = np.empty(len(pool_N), dtype=np.int64)
    place_N[order] = np.arange(len(pool_N)) - (length.cumsum() - length)[pool_N[order]]
    return pair(pool_N, place_N // size)
