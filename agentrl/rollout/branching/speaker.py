"""The engine's session of a path, which may be forked from another's, before a turn or inside one."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from agentrl.context.base import Feed
from agentrl.engines.base import Completion, Engine, SamplingParams
from agentrl.rollout.branching.detour import Detour, PrunedError, join, reason_to_stop
from agentrl.rollout.episode import Speaker
from agentrl.seeding import derive


class BranchSpeaker(Speaker):
    """A speaker whose session may hold a part of what is to be fed, or have to be filled again.

    Args:
      engine: samples.
      seed: of the path's sampling.
      held: ids, piece by piece, that a session which heard everything before the first turn holds.
      detour: how the first turn begins, if inside another path's.
    """

    def __init__(
        self, engine: Engine, seed: int, held: Sequence[NDArray[np.int32]], detour: Detour | None = None
    ) -> None:
        super().__init__(engine, seed)
        self._due = self._held = held
        """Ids that the session must be fed before the next feed, if that goes on with it."""
        self._num_ahead = 0
        """Ids at the beginning of the next feed (and of the detour) that the session holds already."""
        self._detour = detour

    @property
    def is_behind(self) -> bool:
        """True if the session lacks ids of the turns so far."""
        return self.session is None or bool(self._due)

    def take_over(self, session: int, feed: Feed, *, is_fed: bool, turn: int) -> None:
        """Fork ``session`` before the token of the detour; without one, where ``feed`` begins or one id before its end.

        The latter if ``feed`` was fed there. At least one id is left to be fed.
        """
        if self._detour is not None:
            self._num_ahead = len(feed.ids) + self._detour.token
        else:
            self._num_ahead = len(feed.ids) - 1 if is_fed else 0
        length = feed.num_held + self._num_ahead
        self.session = self.engine.fork(session, derive(self.seed, "session", turn), length=length)
        self._due = ()

    async def say(self, feed: Feed, params: SamplingParams, turn: int) -> Completion:
        """Feed what the session does not hold, and sample turn ``turn``, or the rest of it after a detour.

        Raises:
          PrunedError: the detour's look does not want the turn.
        """
        detour, self._detour = self._detour, None
        if detour is None:
            return await self._ask(feed, self._missing(feed), params, turn)
        head = detour.head()
        ids, num_sampled = self._missing(feed, head.ids), 0
        reason = reason_to_stop(head, params, self.engine.tokenizer)
        if reason is not None:
            said = replace(head, stop_reason=reason)
            self._due, self._num_ahead = (ids,), 0
        else:
            rest = await self._ask(feed, ids, replace(params, max_tokens=params.max_tokens - len(head.ids)), turn)
            said, num_sampled = join(head, rest, params, self.engine.tokenizer), len(rest.ids)
            if len(said.ids) < len(head.ids) + num_sampled:  # the session holds more than was said
                self.hush()
                self._due = (*(() if feed.is_fresh else self._held), feed.ids, said.ids)
        self._held = ()
        if (after := detour.look(said)) is not None:
            raise PrunedError(after, num_sampled)
        return said

    def _missing(self, feed: Feed, *more: NDArray[np.int32]) -> NDArray[np.int32]:
        """Return what the session does not hold of all that it should when ``feed`` and ``more`` were fed."""
        due = () if feed.is_fresh else self._due
        return np.concatenate([*due, feed.ids, *more])[self._num_ahead :]

    async def _ask(self, feed: Feed, ids: NDArray[np.int32], params: SamplingParams, turn: int) -> Completion:
        num_held = feed.num_held + self._num_ahead
        self._due, self._num_ahead = (), 0
        return await super().say(Feed(ids, num_held), params, turn)
