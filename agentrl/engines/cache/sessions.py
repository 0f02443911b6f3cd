"""One conversation that an engine keeps, and one turn that it is asked for."""

import asyncio
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agentrl.engines.base import Completion, SamplingParams
from agentrl.engines.cache.prefixes import NO_PREFIX, Prefix


@dataclass(slots=True, eq=False)
class Session:
    """One conversation: all its ``ids``, of which the first ``length`` (when idle, all but the last) are cached.

    The first of these lie in blocks that other sessions may share, the ``prefix``; the others in ``slot``.
    """

    slot: int
    prefix: Prefix = NO_PREFIX
    ids: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    length: int = 0
    request: "Request | None" = None
    is_lost: bool = False

    @property
    def is_busy(self) -> bool:
        """A turn is being sampled."""
        return self.request is not None


@dataclass(slots=True, eq=False)
class Request:
    """One turn: feed what is new, then sample from ``start`` cached positions on, until there are ``end``."""

    session: Session
    start: int
    end: int
    rule: int
    params: SamplingParams
    future: "asyncio.Future[Completion]"

    @property
    def fed(self) -> NDArray[np.int64]:
        """The ids between the cached and the pending one, before the turn begins."""
        return self.session.ids[self.session.length : self.start]
