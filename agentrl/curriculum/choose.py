"""Choosing the tasks of an iteration by a curriculum's weights.

Axis suffix: ``_P`` tasks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from agentrl.credit.spo import SuccessTracker
from agentrl.curriculum.tasks import Difficulty, HistoryResampling, SuccessWeights
from agentrl.errors import check_choice

CurriculumName = Literal["uniform", "spo", "clpo", "srpo_history"]


class TaskCurriculum(Protocol):
    """Remembers how tasks went and says how often to draw each one."""

    def observe(self, task: str, returns: Sequence[float]) -> None:
        """Take in the returns, 0 to 1, of a group's episodes."""
        ...

    def weights(self, tasks: Sequence[str]) -> NDArray[np.float64]:
        """Return how often to draw each task, shape (P,), relative to the others; not all 0."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return what there is to save, JSON-serialisable."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a saved state."""
        ...


def make_curriculum(
    name: CurriculumName,
    *,
    num_tasks: int,
    floor: float = 0.05,
    forget: float = 0.875,
    hard: float = 0.3,
    medium: float = 0.7,
    solved_weight: float = 0.25,
    epoch_groups: int | None = None,
) -> TaskCurriculum | None:
    """Return a curriculum by name, None for "uniform", which remembers nothing.

    Args:
      name: of `SuccessWeights` ("spo"), `Difficulty` ("clpo") or `HistoryResampling` ("srpo_history").
      num_tasks: of the split that tasks are drawn from.
      floor: of "spo".
      forget: of "spo": share of the belief in a task that its next episode leaves.
      hard, medium, solved_weight: of "clpo".
      epoch_groups: of "srpo_history": groups in an epoch; None for one of each task.

    Raises:
      ConfigError: no such curriculum, or a value out of range.
    """
    check_choice("curriculum", name, ("uniform", "spo", "clpo", "srpo_history"))
    if name == "spo":
        return SuccessWeights(SuccessTracker(forget_min=forget, forget_max=forget), floor=floor)
    if name == "clpo":
        return Difficulty(hard=hard, medium=medium, solved_weight=solved_weight)
    if name == "srpo_history":
        return HistoryResampling(num_tasks if epoch_groups is None else epoch_groups)
    return None


def draw_tasks(
    tasks: Sequence[str], count: int, rng: np.random.Generator, curriculum: TaskCurriculum | None = None
) -> list[str]:
    """Draw tasks by the curriculum's weights, different ones as long as there are enough that may be drawn."""
    weight_P = None if curriculum is None else curriculum.weights(tasks)
    available = len(tasks) if weight_P is None else int(np.count_nonzero(weight_P))
    share_P = None if weight_P is None else weight_P / weight_P.sum()
    chosen = rng.choice(len(tasks), size=count, replace=count > available, p=share_P)
    return [tasks[int(index)] for index in chosen]
