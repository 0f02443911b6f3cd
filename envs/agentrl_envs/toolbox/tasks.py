"""What customers want, and the actions that give it to them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agentrl.errors import DataError, TaskNotFoundError, nearest
from agentrl.tasks import TaskRef, TaskSet, content_digest
from agentrl.tool import ToolCall


class ServiceTask(NamedTuple):
    """One customer.

    Attributes:
      user_id: the customer's.
      instruction: the brief, to the customer.
      actions: the calls that do what is wanted.
      outputs: what has to be told to the customer.
    """

    user_id: str
    instruction: str
    actions: tuple[ToolCall, ...]
    outputs: tuple[str, ...]


class RecordedTasks(TaskSet[ServiceTask]):
    """Tasks that are given: ``SPLIT/NUMBER``, by their places in the lists."""

    def __init__(self, tasks: Mapping[str, Sequence[ServiceTask]]) -> None:
        self._tasks = {f"{split}/{n}": (split, task) for split, some in tasks.items() for n, task in enumerate(some)}
        self._splits = {split: tuple(f"{split}/{n}" for n in range(len(some))) for split, some in tasks.items()}

    @property
    def splits(self) -> Mapping[str, Sequence[str]]:
        """Task ids by split."""
        return self._splits

    def without(self, left_out: Sequence[str]) -> "RecordedTasks":
        """Return the same tasks, with the same ids, but some."""
        kept = RecordedTasks({})
        kept._tasks = {task_id: one for task_id, one in self._tasks.items() if task_id not in left_out}
        kept._splits = {split: tuple(i for i in ids if i in kept._tasks) for split, ids in self._splits.items()}
        return kept

    def ref(self, task_id: str) -> TaskRef:
        """Return the address of a task.

        Raises:
          TaskNotFoundError: there is no such task.
        """
        if task_id not in self._tasks:
            raise TaskNotFoundError(f"no task {task_id!r}{nearest(task_id, self._tasks)}")
        split, task = self._tasks[task_id]
        return TaskRef(task_id, split, content_digest(repr(task)))

    def load(self, task_id: str) -> ServiceTask:
        """Return the task."""
        return self._tasks[task_id][1]


def read_tasks(path: Path) -> list[ServiceTask]:
    """Return the tasks of a file in tau-bench's form: a list of ``user_id, instruction, actions, outputs``.

    Raises:
      DataError: the file is missing or of another form.
    """
    try:
        return [_as_task(task) for task in read_json(path)]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: not a list of tasks ({type(error).__name__}: {error})") from None


def _as_task(task: Mapping[str, Any]) -> ServiceTask:
    actions = tuple(ToolCall(action["name"], action["kwargs"]) for action in task["actions"])
    return ServiceTask(task["user_id"], task["instruction"], actions, tuple(task["outputs"]))


def read_json(path: Path) -> Any:
    """Return what a JSON file holds.

    Raises:
      DataError: the file is missing or no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as JSON ({error})") from None
