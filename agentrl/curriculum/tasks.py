"""Curricula: how often to draw each task, from what earlier episodes earned. Pure state: no task is loaded here.

Axis suffix: ``_P`` tasks.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from agentrl.credit.spo import SuccessTracker
from agentrl.errors import ConfigError, DataError


class HistoryResampling:
    """Leave out, for an epoch, the tasks that every episode of the epoch before solved.

    Tasks never seen and tasks that nobody solved stay: they may become informative. Paper: SRPO (two-staged
    history-resampling), arXiv:2504.14286.

    Args:
      epoch_groups: an epoch ends by itself after so many observed groups; None if only `end_epoch` ends it.
    """

    def __init__(self, epoch_groups: int | None = None) -> None:
        if epoch_groups is not None and epoch_groups < 1:
            raise ConfigError(f"epoch_groups is {epoch_groups}: an epoch has one group or more")
        self._epoch_groups, self._groups = epoch_groups, 0
        self._now: dict[str, bool] = {}
        self._too_easy: set[str] = set()

    def observe(self, task: str, returns: Sequence[float]) -> None:
        """Take in the returns, 0 to 1, of a group's episodes in this epoch."""
        all_solved = all(value >= 1.0 for value in _checked(task, returns))
        self._now[task] = all_solved and self._now.get(task, True)
        self._groups += 1
        if self._groups == self._epoch_groups:
            self.end_epoch()

    def end_epoch(self) -> None:
        """Begin an epoch without the tasks that were always solved in this one; those left out before come back."""
        self._too_easy = {task for task, all_solved in self._now.items() if all_solved}
        self._now, self._groups = {}, 0

    def weights(self, tasks: Sequence[str]) -> NDArray[np.float64]:
        """Return 0 for the tasks left out and 1 for the others, shape (P,); all 1 if none would be left."""
        weight_P = np.array([float(task not in self._too_easy) for task in tasks])
        return weight_P if weight_P.any() else np.ones(len(tasks))

    def state_dict(self) -> dict[str, Any]:
        """Return what there is to save, JSON-serialisable."""
        return {"now": dict(self._now), "too_easy": sorted(self._too_easy), "groups": self._groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a saved state."""
        self._now, self._too_easy = dict(state["now"]), set(state["too_easy"])
        self._groups = int(state["groups"])


class SuccessWeights:
    """Draw tasks whose success is a coin flip most often: √(v (1 - v)) + floor, v the tracked success rate.

    Paper: SPO, arXiv:2509.13232. It may share the tracker of `agentrl.credit.spo`; then only one of the two updates it.

    Args:
      tracker: None for a new one.
      floor: added to every weight, so that no task is forgotten.
    """

    def __init__(self, tracker: SuccessTracker | None = None, *, floor: float = 0.05) -> None:
        if floor <= 0:
            raise ConfigError(f"floor is {floor}: a positive one keeps every task in play")
        self.tracker = tracker or SuccessTracker()
        self._floor = floor

    def observe(self, task: str, returns: Sequence[float]) -> None:
        """Take in the returns, 0 to 1, of a group's episodes."""
        for value in returns:
            self.tracker.update(task, value)

    def weights(self, tasks: Sequence[str]) -> NDArray[np.float64]:
        """Return the weight of each task, shape (P,)."""
        return self.tracker.sampling_weights(tasks, floor=self._floor)

    def state_dict(self) -> dict[str, Any]:
        """Return what there is to save, JSON-serialisable."""
        return self.tracker.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a saved state."""
        self.tracker.load_state_dict(state)


Level = Literal["unknown", "hard", "medium", "solved"]


class Difficulty:
    """Class of each task by the mean return a of its last group: hard a <= 0.3, medium a <= 0.7, else solved.

    Paper: CLPO, arXiv:2509.25004, which lets the policy rewrite hard and medium tasks and halves the divergence term
    on rewritten hard ones (`kl_scale`). Rewriting is the caller's. Differs from the paper: instead of adding rewritten
    hard and medium tasks, `weights` lets solved ones come less often.

    Args:
      hard: largest mean return of a hard task.
      medium: largest mean return of a medium task.
      solved_weight: how often a solved task is drawn, relative to the others.
    """

    def __init__(self, *, hard: float = 0.3, medium: float = 0.7, solved_weight: float = 0.25) -> None:
        if not 0.0 <= hard < medium < 1.0:
            raise ConfigError(f"hard is {hard} and medium {medium}: expected 0 <= hard < medium < 1")
        if not 0.0 < solved_weight <= 1.0:
            raise ConfigError(
                f"solved_weight is {solved_weight}: give a share of the others' weight, over 0 and up to 1"
            )
        self._bounds = hard, medium
        self._solved_weight = solved_weight
        self._mean: dict[str, float] = {}

    def observe(self, task: str, returns: Sequence[float]) -> None:
        """Take in the returns, 0 to 1, of a group's episodes; the group before is forgotten."""
        if len(returns):
            self._mean[task] = float(np.mean(_checked(task, returns)))

    def level(self, task: str) -> Level:
        """Return the class of a task."""
        if task not in self._mean:
            return "unknown"
        hard, medium = self._bounds
        mean = self._mean[task]
        return "hard" if mean <= hard else "medium" if mean <= medium else "solved"

    def weights(self, tasks: Sequence[str]) -> NDArray[np.float64]:
        """Return ``solved_weight`` for solved tasks and 1 for the others, shape (P,)."""
        return np.array([self._solved_weight if self.level(task) == "solved" else 1.0 for task in tasks])

    def kl_scale(self, task: str) -> float:
        """Return the factor of the divergence term for a task's rewritings."""
        return 0.5 if self.level(task) == "hard" else 1.0

    def state_dict(self) -> dict[str, Any]:
        """Return what there is to save, JSON-serialisable."""
        return {"mean": dict(self._mean)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a saved state."""
        self._mean = dict(state["mean"])


def _checked(task: str, returns: Sequence[float]) -> Sequence[float]:
    for value in returns:
        if not 0.0 <= value <= 1.0:
            raise DataError(f"return {value} of task {task!r} is not in [0, 1]: scale it to a success rate first")
    return returns
