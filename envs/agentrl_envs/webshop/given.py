"""Goals that are handed over, as tasks."""

from collections.abc import Mapping, Sequence
from typing import Any

from agentrl.errors import DataError, TaskNotFoundError, nearest
from agentrl.tasks import TaskRef, TaskSet, content_digest
from agentrl_envs.webshop.goal import Goal, as_goal
from agentrl_envs.webshop.product import Stock


class GivenGoals(TaskSet[Goal]):
    """A list of goals: ``given/0``, ``given/1`` and so on, in the one split `given`.

    Args:
      goals: the goals, also in WebShop's own form; their price limits stand.
      stock: has their products.

    Raises:
      DataError: there is no goal, one is malformed, or the stock lacks its product.
    """

    def __init__(self, goals: Sequence[Goal | Mapping[str, Any]], stock: Stock) -> None:
        self._goals = {f"given/{number}": as_goal(goal) for number, goal in enumerate(goals)}
        if not self._goals:
            raise DataError("goals: the list is empty, expected at least one goal")
        for task_id, goal in self._goals.items():
            if stock.get(goal.asin) is None:
                raise DataError(f"goal {task_id}: the shop has no product {goal.asin!r}")
        self._splits = {"given": tuple(self._goals)}

    @property
    def splits(self) -> Mapping[str, Sequence[str]]:
        """The one split."""
        return self._splits

    def ref(self, task_id: str) -> TaskRef:
        """Return the address of a goal.

        Raises:
          TaskNotFoundError: there is no such goal.
        """
        if task_id not in self._goals:
            raise TaskNotFoundError(f"no goal {task_id!r}{nearest(task_id, self._goals)}")
        return TaskRef(task_id, "given", content_digest(repr(self._goals[task_id])))

    def load(self, task_id: str) -> Goal:
        """Return the goal."""
        return self._goals[task_id]
