"""Filters: which groups of an iteration are trained on, decided from the returns of their episodes.

Axis suffixes: ``_N`` turns, ``_M`` trajectories, ``_K`` groups.
"""

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agentrl.credit.normalise import Moments
from agentrl.credit.returns import episode_returns
from agentrl.credit.table import TurnTable
from agentrl.errors import ConfigError, check_choice


class GroupFilter(Protocol):
    """Chooses groups by the spread of their returns."""

    def keep(self, std_K: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which groups are trained on, from the standard deviation of each one's returns (0: all equal)."""
        ...


@dataclass(frozen=True, slots=True)
class DynamicSampling:
    """Keep the groups whose returns differ: of equal ones nothing can be learned by comparison.

    With rewards 0 and 1 these are the groups of accuracy strictly between 0 and 1. Paper: DAPO, arXiv:2503.14476,
    sec. 3.2, which generates more until the update is full: the trainer does so for ``filter.max_refills``.
    """

    def keep(self, std_K: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which groups have a spread."""
        return std_K > 0.0


@dataclass(frozen=True, slots=True)
class TopVariance:
    """Keep the share of the groups whose returns differ most; never one whose returns are equal.

    Paper: RAGEN (StarPO-S), arXiv:2504.20073. At least one group is kept if any differs; ties go to the earlier one.
    Differs from its code, which fills the share with groups of equal returns where others are too few.

    Attributes:
      share: of the groups, more than 0 and at most 1.
    """

    share: float = 0.25

    def __post_init__(self) -> None:
        if not 0.0 < self.share <= 1.0:
            raise ConfigError(f"share is {self.share}: give the share of groups to keep, more than 0 and at most 1")

    def keep(self, std_K: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which groups are among the most varied."""
        count = max(1, math.floor(self.share * len(std_K)))
        kept_K = np.zeros(len(std_K), dtype=bool)
        kept_K[np.argsort(-std_K, kind="stable")[:count]] = True
        return kept_K & (std_K > 0.0)


def make_filter(name: str, *, share: float = 0.25) -> GroupFilter | None:
    """Return a filter by name, None for "none".

    Raises:
      ConfigError: no such filter, or a share out of range.
    """
    check_choice("filter", name, ("none", "dynamic_sampling", "top_variance"))
    if name == "none":
        return None
    return DynamicSampling() if name == "dynamic_sampling" else TopVariance(share)


def keep_groups(table: TurnTable, group_filter: GroupFilter) -> TurnTable:
    """Return the table with the dropped groups' turns not scored. Only groups with a verdict are put to the filter."""
    scored = table.select(table.verdict_N)
    if not len(scored):
        return table
    moments = Moments.of(episode_returns(scored), scored.group_M, table.num_groups)
    present = np.unique(scored.group_N)
    kept_K = np.zeros(table.num_groups, dtype=bool)
    kept_K[present] = group_filter.keep(moments.std_K[present])
    return replace(table, verdict_N=table.verdict_N & kept_K[table.group_N])


def num_kept(table: TurnTable, group_filter: GroupFilter) -> int:
    """Return how many groups the filter keeps."""
    kept = keep_groups(table, group_filter)
    return len(np.unique(kept.group_N[kept.verdict_N]))
