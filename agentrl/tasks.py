"""Tasks: what is to be done, addressed by id, in named splits that do not overlap."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar

import numpy as np

from agentrl.errors import DataError, TaskNotFoundError, nearest
from agentrl.seeding import generator

Payload = TypeVar("Payload")


@dataclass(frozen=True, slots=True)
class TaskRef:
    """The address of one task.

    Attributes:
      id: unique within its task set, stable across processes and versions of the data.
      split: the named split that holds it.
      digest: hash of the task's content; two tasks with equal digests are the same task.
    """

    id: str
    split: str
    digest: str


def content_digest(content: bytes | str) -> str:
    """Return 16 hexadecimal digits that identify ``content`` (BLAKE2b)."""
    raw = content.encode() if isinstance(content, str) else content
    return hashlib.blake2b(raw, digest_size=8).hexdigest()


class TaskSet(ABC, Generic[Payload]):
    """Named splits of tasks. Ids are listed lazily, so a split may be as large as a generator can number."""

    @property
    @abstractmethod
    def splits(self) -> Mapping[str, Sequence[str]]:
        """Task ids by split, in a fixed order that does not depend on the file system."""

    @abstractmethod
    def load(self, task_id: str) -> Payload:
        """Return the content of a task. Called after :meth:`ref` accepted the id."""

    @abstractmethod
    def ref(self, task_id: str) -> TaskRef:
        """Return the address of ``task_id``.

        Raises:
          TaskNotFoundError: no split holds the id; the message names the nearest one.
        """

    def ids(self, split: str) -> Sequence[str]:
        """Return the ids of ``split``.

        Raises:
          TaskNotFoundError: there is no such split; the message names the nearest one.
        """
        try:
            return self.splits[split]
        except KeyError:
            raise TaskNotFoundError(f"no split {split!r}{nearest(split, self.splits)}") from None

    def sample(self, split: str, rng: np.random.Generator) -> TaskRef:
        """Draw a task of ``split`` uniformly."""
        ids = self.ids(split)
        if not len(ids):
            raise TaskNotFoundError(f"split {split!r} is empty")
        return self.ref(ids[int(rng.integers(len(ids)))])


class DrawnTasks(TaskSet[Payload]):
    """Tasks drawn at random, in splits that are disjoint because the hash of a task decides which split it is in.

    Task ``train/7`` is the first draw of the random stream ``(seed, "train/7")`` that belongs to ``train``: it is the
    same in every process, and whatever else is drawn.

    Args:
      draw: makes the content of a task, or None to draw again. Equal contents must have equal ``repr``.
      sizes: how many tasks each split has.
      seed: other seeds give other tasks, in the same splits: what is in ``valid`` for one is in ``train`` for none.

    Raises:
      DataError: (from `load` and `ref`) ``draw`` keeps returning None.
    """

    MAX_DRAWS = 100_000

    def __init__(
        self, draw: Callable[[np.random.Generator], Payload | None], sizes: Mapping[str, int], seed: int = 0
    ) -> None:
        self._draw, self._sizes, self._seed = draw, sizes, seed
        self._splits = {split: [f"{split}/{number}" for number in range(size)] for split, size in sizes.items()}
        self._split_of = {task_id: split for split, ids in self._splits.items() for task_id in ids}
        self._find = lru_cache(maxsize=4096)(self._search)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._draw, self._sizes, self._seed)

    @property
    def splits(self) -> Mapping[str, Sequence[str]]:
        """Task ids by split: ``train/0``, ``train/1`` and so on."""
        return self._splits

    def load(self, task_id: str) -> Payload:
        """Return the content of a task."""
        return self._find(task_id)[0]

    def ref(self, task_id: str) -> TaskRef:
        """Return the address of ``task_id``.

        Raises:
          TaskNotFoundError: no split holds the id; the message names the nearest one.
        """
        if task_id not in self._split_of:
            raise TaskNotFoundError(f"no task {task_id!r}{nearest(task_id, self._split_of)}")
        return TaskRef(task_id, self._split_of[task_id], self._find(task_id)[1])

    def _search(self, task_id: str) -> tuple[Payload, str]:
        rng, names = generator(self._seed, "task", task_id), list(self._splits)
        for _ in range(self.MAX_DRAWS):
            task = self._draw(rng)
            if task is not None:
                digest = content_digest(repr(task))
                if names[int(digest, 16) % len(names)] == self._split_of[task_id]:
                    return task, digest
        raise DataError(f"{self.MAX_DRAWS} draws gave no acceptable task for {task_id!r}: ease what is asked of tasks")
