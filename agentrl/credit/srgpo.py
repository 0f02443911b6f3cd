"""SRGPO: step rewards compared in random groups.

Axis suffix: ``_N`` turns.
"""

from typing import Literal

import numpy as np

from agentrl.credit.group_relative import Weight, group_relative
from agentrl.credit.normalise import Scale, normalise
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
    group_size: int | None = 16,
    within: Literal["batch", "group"] = "batch",
    step_weight: float = 0.5,
    scale: Scale = "std",
    weight: Weight = "turn",
    eps: float = 1e-6,
) -> FloatN:
    """Episode advantage plus the step reward against random other turns, A = Aᴱ + ω Aˢ.

    All turns are shuffled and cut into groups of ``group_size``; Aˢ is the z-score of the step reward in such a group.
    No states need to match, but step rewards must mean the same everywhere. The last group may be smaller; one alone
    gets 0. Paper: SRGPO (SeeNav-Agent), arXiv:2512.02631. Differs from its code: ``within="group"`` really samples
    inside the task's group (there a later branch overrides it).

    Args:
      table: turns; their rewards make the episode return.
      seed: of the shuffle.
      step_reward: verifiable reward of each turn, shape (N,); None for the column ``reward``.
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
    episode_N = group_relative(table, scale=scale, weight=weight, eps=eps)
    return episode_N + step_weight * normalise(step_N, key_N, count, scale=scale, eps=eps)


def _random_groups(pool_N: IntN, size: int, seed: int) -> tuple[IntN, int]:
    """Cut each pool, shuffled, into groups of ``size``; return dense codes and their number."""
    shuffled = generator(seed, "srgpo").permutation(len(pool_N))
    order = order_by(pool_N, shuffled)
    length = np.bincount(pool_N)
    place_N = np.empty(len(pool_N), dtype=np.int64)
    place_N[order] = np.arange(len(pool_N)) - (length.cumsum() - length)[pool_N[order]]
    return pair(pool_N, place_N // size)
