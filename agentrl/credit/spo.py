"""SPO: one trajectory per task, compared with a running estimate of the task's success rate.

Axis suffixes: ``_N`` turns, ``_M`` trajectories, ``_P`` tasks.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from agentrl.credit.group_relative import Weight, row_weights
from agentrl.credit.normalise import normalise
from agentrl.credit.returns import episode_returns
from agentrl.credit.segments import FloatN
from agentrl.credit.table import TurnTable, scored_rows
from agentrl.errors import ConfigError, DataError


class SuccessTracker:
    """A Beta(α, β) belief about the success rate of every task, which forgets as the policy moves.

        v = α / (α + β);   after a trajectory of return r in [0, 1]:  α ← ρ α + r,  β ← ρ β + 1 - r
        ρ = clip(2^(-D / half_divergence), forget_min, forget_max)

    with D the mean |Δ log π| of the policy since the task was last seen. Paper: SPO, arXiv:2509.13232; constants of its
    code. Give tasks a name that stays the same from one iteration to the next.

    Args:
      half_divergence: D that halves what is remembered.
      forget_min: least ρ; 1 / (1 - ρ) trajectories are remembered at most.
      forget_max: largest ρ.
    """

    def __init__(self, *, half_divergence: float = 0.06, forget_min: float = 0.875, forget_max: float = 0.96) -> None:
        if not (half_divergence > 0 and 0 < forget_min <= forget_max < 1):
            raise ConfigError(
                f"half_divergence {half_divergence}, forget_min {forget_min}, forget_max {forget_max}: expected "
                "half_divergence > 0 and 0 < forget_min <= forget_max < 1"
            )
        self._half_divergence, self._forget = half_divergence, (forget_min, forget_max)
        self._belief: dict[Hashable, tuple[float, float]] = {}

    def start(self, task: Hashable, returns: Sequence[float] = ()) -> None:
        """Set a task's belief from earlier trajectories, as strong as the tracker can remember; none: 1/2, weak."""
        for value in returns:
            _check_unit(task, value)
        size, total = len(returns), float(sum(returns))
        strength = 1.0 / (1.0 - self._forget[0]) if size else 1.0
        self._belief[task] = (
            strength * (total + 0.5) / (size + 1),
            strength * (size - total + 0.5) / (size + 1),
        )

    def value(self, task: Hashable) -> float:
        """Return the estimated success rate, 1/2 for a task never seen."""
        alpha, beta = self._belief.get(task, (0.5, 0.5))
        return alpha / (alpha + beta)

    def update(self, task: Hashable, value: float, *, divergence: float = 0.0) -> None:
        """Take in a trajectory's return; call it after the advantages have been computed.

        Raises:
          DataError: the return is not in [0, 1].
        """
        _check_unit(task, value)
        forget = float(np.clip(2.0 ** (-divergence / self._half_divergence), *self._forget))
        alpha, beta = self._belief.get(task, (0.5, 0.5))
        self._belief[task] = (forget * alpha + value, forget * beta + 1.0 - value)

    def update_from(self, table: TurnTable, divergence: Mapping[Hashable, float] | None = None) -> None:
        """Take in every scored trajectory of a table whose groups are tasks."""
        scored = table.select(table.verdict_N)
        for group, value in zip(scored.group_M.tolist(), episode_returns(scored).tolist(), strict=True):
            task = scored.group_labels[group]
            self.update(task, value, divergence=(divergence or {}).get(task, 0.0))

    def sampling_weights(self, tasks: Sequence[Hashable], *, floor: float = 0.05) -> FloatN:
        """Return how often to draw each task, √(v (1 - v)) + floor, shape (P,): most where success is a coin flip."""
        value_P = np.array([self.value(task) for task in tasks])
        return np.sqrt(value_P * (1.0 - value_P)) + floor

    def state_dict(self) -> dict[str, Any]:
        """Return what there is to save: JSON-serialisable if tasks are strings."""
        return {"tasks": list(self._belief), "beliefs": [list(belief) for belief in self._belief.values()]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a saved state."""
        pairs = zip(state["tasks"], state["beliefs"], strict=True)
        self._belief = {task: (float(alpha), float(beta)) for task, (alpha, beta) in pairs}


@scored_rows
def spo(table: TurnTable, *, tracker: SuccessTracker, weight: Weight = "trajectory", eps: float = 1e-8) -> FloatN:
    """Return against the tracked success rate of its task, whitened over the batch.

        A = (x - mean_batch x) / (std_batch x + ε),   x = S - v(task)

    Groups are tasks, of any size: one trajectory will do. The tracker is read, not changed: update it afterwards
    (`SuccessTracker.update_from`). ``weight="token"`` takes the statistics over tokens, so that a token-mean loss sees
    a mean of 0 (SPO++, arXiv:2608.24870). A batch of equal values gives 0. Paper: SPO, arXiv:2509.13232.
    """
    value_K = np.array([tracker.value(task) for task in table.group_labels])
    surprise_N = (episode_returns(table) - value_K[table.group_M])[table.trajectory_N]
    one_batch_N = np.zeros(len(table), dtype=np.int64)
    return normalise(surprise_N, one_batch_N, 1, weight_I=row_weights(table, weight), ddof=0, eps=eps)


def _check_unit(task: Hashable, value: float) -> None:
    if not 0.0 <= value <= 1.0:
        raise DataError(f"return {value} of task {task!r} is not in [0, 1]: scale it to a success rate first")
