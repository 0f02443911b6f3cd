"""Search for solutions of small worlds, for the experts of environments."""

from collections import deque
from collections.abc import Callable, Hashable, Mapping
from typing import TypeVar

State = TypeVar("State", bound=Hashable)


def shortest_plan(
    start: State, moves: Callable[[State], Mapping[str, State]], is_goal: Callable[[State], bool]
) -> list[str] | None:
    """Return a shortest list of actions from ``start`` to a goal, by breadth-first search; None if there is none.

    Args:
      moves: the actions that are possible in a state, and the state that each leads to.
      is_goal: whether a state solves the task.

    >>> shortest_plan(1, lambda n: {"add": n + 1, "double": 2 * n}, lambda n: n == 6)
    ['add', 'add', 'double']
    """
    came_from: dict[State, tuple[State, str] | None] = {start: None}
    queue = deque([start])
    while queue:
        here = queue.popleft()
        if is_goal(here):
            return _path(came_from, here)
        for action, there in moves(here).items():
            if there not in came_from:
                came_from[there] = here, action
                queue.append(there)
    return None


def _path(came_from: Mapping[State, tuple[State, str] | None], end: State) -> list[str]:
    plan = []
    step = came_from[end]
    while step is not None:
        plan.append(step[1])
        step = came_from[step[0]]
    return plan[::-1]
