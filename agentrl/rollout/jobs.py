"""Jobs that are played side by side until all are done, one fails, or they are given up."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from agentrl.errors import AbortedError
from agentrl.rollout.group import EpisodeSpec
from agentrl.types import Trajectory

POLL_S = 0.05
"""Seconds between looks at whether a rollout is to be given up."""


class Playable(Protocol):
    """What can be played."""

    async def play(self) -> None:
        """Play everything; cancelled, let go of environments and sessions first."""


class Job(Playable, Protocol):
    """What the scheduler plays as one: it retries what accidents ended and keeps the records.

    Attributes:
      specs: episodes that are wanted; as many sessions may be open at once.
      trajectories: those with a verdict, in the order of the specs.
      accidents: the record of attempts without one.
    """

    specs: list[EpisodeSpec]
    trajectories: list[Trajectory]
    accidents: list[Trajectory]

    async def play(self) -> None:
        """Play everything; cancelled, let go of environments and sessions first."""


async def play_all(jobs: Sequence[Playable], workers: int, is_aborted: Callable[[], bool] | None = None) -> None:
    """Play jobs in their order, at most ``workers`` at a time.

    Raises:
      AbortedError: ``is_aborted``, which is asked every ``POLL_S``.
      BaseException: the first that a job raised; the others are cancelled and waited for.
    """
    waiting = deque(jobs)
    try:
        async with asyncio.TaskGroup() as everything:
            watch = everything.create_task(_watch(is_aborted))
            async with asyncio.TaskGroup() as players:
                for _ in range(min(workers, len(jobs))):
                    players.create_task(_work(waiting))
            watch.cancel()
    except BaseExceptionGroup as error:
        raise first_exception(error) from None


async def _work(waiting: deque[Playable]) -> None:
    """Play jobs until none is waiting."""
    while waiting:
        await waiting.popleft().play()


async def _watch(is_aborted: Callable[[], bool] | None) -> None:
    """Wait until the jobs are to be given up."""
    while is_aborted is not None:
        if is_aborted():
            raise AbortedError("the rollout was given up on request")
        await asyncio.sleep(POLL_S)


def first_exception(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first exception inside a group: what a sequential loop would have raised."""
    error = group.exceptions[0]
    return first_exception(error) if isinstance(error, BaseExceptionGroup) else error
