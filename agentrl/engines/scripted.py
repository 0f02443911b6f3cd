"""An engine that plays a script: for tests of everything around an engine, without a model."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrl.engines.base import Alternatives, Completion, SamplingParams, check_fork_length
from agentrl.engines.handles import SessionEngine, room_after
from agentrl.errors import EngineError
from agentrl.seeding import generator
from agentrl.types import StopReason


@dataclass(frozen=True, slots=True)
class Line:
    """What the script says in one turn.

    Attributes:
      ids: the tokens, in the order sampled.
      logprobs: of each token in nats; None for 0 (a script is certain of what it says).
      entropies: of each token in nats; None for 0.
      alternatives: (id, log-prob) of each token's runner-up; None where the script knows none.
    """

    ids: Sequence[int]
    logprobs: Sequence[float] | None = None
    entropies: Sequence[float] | None = None
    alternatives: Sequence[tuple[int, float]] | None = None


Script = Callable[[NDArray[np.int32], np.random.Generator], str | Line]
"""(ids of the whole session so far, a generator) -> the turn; text is encoded by the tokenizer.

The generator depends on the session's seed and the number of ids, so forks with an equal seed draw equal numbers.
"""


@dataclass(slots=True)
class _Session:
    ids: NDArray[np.int32]
    seed: int
    is_lost: bool = False
    is_busy: bool = False


class ScriptedEngine(SessionEngine[_Session]):
    """An :class:`~agentrl.engines.base.Engine` whose turns come from a function.

    Budgets and stop ids cut a turn as they would cut a model's; stop strings are matched on the decoded text.

    Args:
      script: says each turn.
      tokenizer: encodes and decodes text; None is enough for a script of ids without stop strings.
      max_context: most tokens one session can hold.
    """

    def __init__(self, script: Script, tokenizer: Any = None, *, max_context: int = 4096) -> None:
        super().__init__(tokenizer, max_context)
        self._script = script
        self.policy_version = 0

    @property
    def num_open(self) -> int:
        """Sessions that have not been released."""
        return len(self._sessions)

    def open(self, seed: int) -> int:
        """Begin an empty session; ``seed`` seeds the generators that the script is given."""
        return self._sessions.add(_Session(np.empty(0, np.int32), seed))

    def fork(self, session: int, seed: int, *, length: int | None = None) -> int:
        """Begin a session that continues from the first ``length`` ids of ``session`` (None: all of them).

        Raises:
          EngineError: unknown session, or ``length`` is not in 1 to the number of ids held.
        """
        ids = self._sessions[session].ids
        return self._sessions.add(_Session(ids[: check_fork_length(length, len(ids))], seed))

    def release(self, session: int) -> None:
        """Forget a session.

        Raises:
          EngineError: unknown session.
        """
        del self._sessions[session]

    async def generate(self, session: int, new_ids: NDArray[np.int32], params: SamplingParams) -> Completion:
        """Append ``new_ids`` and let the script speak.

        Raises:
          EngineError: unknown session, no ids, no room to sample a token after them, or the script said nothing.
        """
        state = self._sessions[session]
        new_ids = np.asarray(new_ids, np.int32)
        room = room_after(new_ids, len(state.ids), max_context=self._max_context)
        ids = np.concatenate([state.ids, new_ids])
        said = self._script(ids, generator(state.seed, "engine", len(ids)))
        line = Line(self._tokenizer.encode(said, add_special_tokens=False)) if isinstance(said, str) else said
        if not len(line.ids):
            raise EngineError("the script said nothing: a turn has at least one token")
        length, reason = self._cut(list(line.ids), room, params)
        spoken = np.asarray(line.ids[:length], np.int32)
        state.ids = np.concatenate([ids, spoken])
        logprobs, entropies = _column(line.logprobs, length), _column(line.entropies, length)
        others = _alternatives(line.alternatives, length) if params.alternatives else None
        return Completion(spoken, logprobs, entropies, reason, self.policy_version, others)

    def _cut(self, ids: list[int], room: int, params: SamplingParams) -> tuple[int, StopReason]:
        """Return how many of ``ids`` a model would have been allowed to say, and why it stopped there."""
        limit = min(params.max_tokens, room)
        for length, token in enumerate(ids[:limit], start=1):
            if token in params.stop_token_ids:
                return length, StopReason.END
            if params.stop and any(text in self._tokenizer.decode(ids[:length]) for text in params.stop):
                return length, StopReason.STOP_STRING
        if len(ids) < limit:
            return len(ids), StopReason.END
        return limit, StopReason.MAX_TOKENS if limit == params.max_tokens else StopReason.CONTEXT_FULL


def _column(values: Sequence[float] | None, length: int) -> NDArray[np.float32]:
    return np.zeros(length, np.float32) if values is None else np.asarray(values[:length], np.float32)


def _alternatives(pairs: Sequence[tuple[int, float]] | None, length: int) -> Alternatives | None:
    if pairs is None:
        return None
    ids, logprobs = zip(*pairs[:length], strict=True)
    return Alternatives(np.asarray(ids, np.int32), np.asarray(logprobs, np.float32))
