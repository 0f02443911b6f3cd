"""What engines that keep sessions have in common: handles, and what is checked and said around a turn."""

import asyncio
from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

from numpy.typing import NDArray

from agentrl.errors import EngineError


class Interruptible(Protocol):
    """A session of an engine that samples in the background."""

    @property
    def is_lost(self) -> bool:
        """A turn was interrupted in the middle: nothing can follow it."""

    @property
    def is_busy(self) -> bool:
        """A turn is being sampled."""


SessionT = TypeVar("SessionT", bound=Interruptible)


class Handles(Generic[SessionT]):
    """Open sessions; a handle is never given twice."""

    def __init__(self) -> None:
        self._sessions: dict[int, SessionT] = {}
        self._next = 0

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[SessionT]:
        return iter(self._sessions.values())

    def __getitem__(self, handle: int) -> SessionT:
        if handle not in self._sessions:
            raise EngineError(f"no session {handle}: it was never opened or has been released")
        return self._sessions[handle]

    def __delitem__(self, handle: int) -> None:
        self[handle]  # says what is wrong with an unknown one
        del self._sessions[handle]

    def add(self, session: SessionT) -> int:
        """Return the handle of a new session."""
        self._next += 1
        self._sessions[self._next] = session
        return self._next

    def idle(self, handle: int) -> SessionT:
        """Return a session that can be continued.

        Raises:
          EngineError: it is unknown, lost or busy.
        """
        session = self[handle]
        if session.is_lost:
            raise EngineError(f"session {handle} was interrupted in the middle of a turn: release it")
        if session.is_busy:
            raise EngineError(f"session {handle} is still sampling a turn: await it first")
        return session


class SessionEngine(Generic[SessionT]):
    """The part of an :class:`~agentrl.engines.base.Engine` that does not depend on who samples.

    Args:
      tokenizer: the model's.
      max_context: most tokens one session can hold.
    """

    def __init__(self, tokenizer: Any, max_context: int) -> None:
        self._tokenizer = tokenizer
        self._max_context = max_context
        self._sessions: Handles[SessionT] = Handles()

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return self._tokenizer

    @property
    def max_context(self) -> int:
        """Most tokens one session can hold."""
        return self._max_context


def break_off(future: "asyncio.Future[Any]", error: Exception | None) -> None:
    """Tell whoever awaits a turn that the engine failed, or without an error that it is cancelled."""
    if future.done():
        return
    if error is None:
        future.cancel()
        return
    failure = EngineError(f"the engine failed: {type(error).__name__}: {error}")
    failure.__cause__ = error
    future.set_exception(failure)


def room_after(ids: NDArray[Any], num_held: int, *, vocab_size: int | None = None, max_context: int) -> int:
    """Return how many tokens can be sampled after ``ids`` follow ``num_held`` others.

    Raises:
      EngineError: ``ids`` is no vector of ids of the vocabulary, or there is no room for a token.
    """
    if ids.ndim != 1 or not len(ids):
        raise EngineError(f"new_ids must be a non-empty vector of ids, got shape {ids.shape}")
    if vocab_size is not None and (ids.min() < 0 or ids.max() >= vocab_size):
        raise EngineError(f"new_ids reach from {ids.min()} to {ids.max()}; the vocabulary has {vocab_size} ids")
    room = max_context - num_held - len(ids)
    if room < 1:
        raise EngineError(
            f"{len(ids)} new ids after {num_held} leave no room to sample in a context of {max_context}: "
            "raise max_context or shorten the observation"
        )
    return room
