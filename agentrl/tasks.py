"""Tasks: what is to be done, addressed by id, in named splits that do not overlap."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from agentrl.errors import TaskNotFoundError, nearest

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
