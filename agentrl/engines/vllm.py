"""vLLM behind the engine protocol: token ids in and out, forks by prefix caching, weights verified after each sync.

A session is a list of token ids and a seed. Each turn is a request whose prompt is the whole list; vLLM's prefix cache
finds the keys and values of all full blocks of it that any session has computed before. So a fork costs a copy of the
list, and a turn computes what is new and the part of a block before it.
"""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agentrl.engines.base import Completion, SamplingParams, check_fork_length
from agentrl.engines.handles import SessionEngine, break_off, room_after
from agentrl.engines.vllm_library import InProcessVllm, Library, SampledTurn
from agentrl.errors import EngineError
from agentrl.models.plain import plain_logprobs
from agentrl.seeding import derive, generator
from agentrl.types import StopReason

Scorer = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""ids -> ln p of each after the first, given those before it."""

# Ids of the text that a sync is verified with.
_PROBE_LENGTH = 64


@dataclass(slots=True, eq=False)
class _Session:
    """One conversation; ``turn`` is the turn it is sampling, if any."""

    seed: int
    ids: NDArray[np.int32] = field(default_factory=lambda: np.empty(0, np.int32))
    turn: "_Turn | None" = None
    is_lost: bool = False

    @property
    def is_busy(self) -> bool:
        """A turn is being sampled."""
        return self.turn is not None


@dataclass(slots=True, eq=False)
class _Turn:
    """One request to vLLM."""

    name: str
    session: _Session
    wanted: int
    """Tokens asked for; the context may have room for fewer."""
    future: "asyncio.Future[Completion]"


class VllmEngine(SessionEngine[_Session]):
    """An :class:`~agentrl.engines.base.Engine` around vLLM, in this process.

    Where it differs from the protocol:

    - Entropies are lower bounds from the most probable tokens, see
      :func:`~agentrl.engines.vllm_library.top_entropies`.
    - ``top_p`` below 1 is refused: vLLM then reports log-probabilities inside the nucleus, not those of the full
      distribution that the trainer takes the gradient of. (Greedy turns take any: it has no effect.)
    - A turn is seeded by the session's seed and the number of ids before it. So a fork with its parent's seed samples
      the same tokens where it begins a turn at the same place, not where it was cut in the middle of one.
    - Sessions may stay open while the weights change: their prefixes are computed anew.

    A background task steps vLLM while turns are wanted and ends when none is left, so each ``asyncio.run`` finds the
    engine idle. A step blocks the event loop; between steps it runs the environments.

    Args:
      library: vLLM.
      tokenizer: the model's.
      max_context: most tokens one session can hold.
      tolerance: largest mean difference between vLLM's and the trainer's log-probs of a probe text, in nats.

    Attributes:
      num_prompt_tokens: ids of all prompts of ended turns.
      num_cached_tokens: how many of these came from the prefix cache.
    """

    def __init__(self, library: Library, tokenizer: Any, *, max_context: int, tolerance: float = 1e-4) -> None:
        super().__init__(tokenizer, max_context)
        self._library = library
        self._tolerance = tolerance
        self._turns: dict[str, _Turn] = {}
        self._num_turns = 0
        self._task: asyncio.Task[None] | None = None
        self._policy_version = 0
        self._fault = ""
        self.num_prompt_tokens = 0
        self.num_cached_tokens = 0

    @classmethod
    def start(
        cls,
        path: str,
        tokenizer: Any,
        *,
        max_sessions: int = 256,
        max_context: int = 1024,
        top_logprobs: int = 20,
        dtype: str = "float32",
        tolerance: float | None = None,
        **settings: Any,
    ) -> "VllmEngine":
        """Start vLLM on the model in the folder ``path``.

        Args:
          path: model and tokenizer as transformers saves them.
          tokenizer: the same tokenizer.
          max_sessions: turns sampled at a time; more sessions may be open.
          max_context: most tokens one session can hold.
          top_logprobs: most probable tokens that entropies are computed from.
          dtype: of weights and computation.
          tolerance: None is 1e-4 for float32 and 0.1 for other types, whose rounding would hide a smaller difference.
          settings: further fields of ``vllm.EngineArgs``, for instance ``enforce_eager``, ``block_size``.

        Raises:
          ConfigError: vLLM is not installed, or does not know a setting.
          EngineError: vLLM cannot serve the model.
        """
        library = InProcessVllm(
            path,
            max_context=max_context,
            max_running=max_sessions,
            top_logprobs=top_logprobs,
            dtype=dtype,
            **settings,
        )
        if tolerance is None:
            tolerance = 1e-4 if dtype == "float32" else 0.1
        return cls(library, tokenizer, max_context=max_context, tolerance=tolerance)

    @property
    def tolerance(self) -> float:
        """Largest mean difference between vLLM's and the model's log-probs after a sync, nats a token."""
        return self._tolerance

    @property
    def policy_version(self) -> int:
        """Version of the weights, stamped on every completion; :meth:`load` raises it."""
        return self._policy_version

    def close(self) -> None:
        """Free vLLM's memory; the engine cannot be used afterwards."""
        self._fault = "it was closed"
        self._library.close()

    # -- weights -------------------------------------------------------------------------------------------------

    def load(self, model: Any, *, version: int | None = None, trainer: Scorer | None = None) -> float:
        """Take over the weights of ``model`` and verify that vLLM computes with them.

        A reload can succeed and leave wrong weights (names that match nothing, a format that was not meant), so
        log-probs of a fixed random text are compared with those of the model's own forward pass, and with the trainer's
        where it has another. Until a later sync succeeds, a failed one
        leaves the engine refusing turns. What cannot be seen: weights that are stale by less than ``tolerance``.

        Args:
          model: the trainer's (``transformers.PreTrainedModel``), of the architecture that was started.
          version: of the weights; None is one more than before.
          trainer: gives ln p of each id after the first as the trainer computes it.

        Returns:
          The mean absolute difference in nats, the larger of both.

        Raises:
          EngineError: turns are under way, vLLM cannot take the weights, or the log-probs differ.
        """
        if self._turns:
            raise EngineError(f"{len(self._turns)} turns are under way: await them before new weights are loaded")
        self._fault = "the last sync of its weights failed"
        ids = generator(0, "probe").integers(0, self._library.vocab_size, min(_PROBE_LENGTH, self._max_context - 1))
        try:
            self._library.reload(_weights(model))
            found = self._library.score(ids.tolist())
        except Exception as error:  # the library raises anything
            raise EngineError(f"vLLM cannot take the model's weights: {type(error).__name__}: {error}") from error
        expected = {"model": plain_logprobs(model, ids)} | ({} if trainer is None else {"trainer": trainer(ids)})
        differences = {whose: float(np.abs(found - scores).mean()) for whose, scores in expected.items()}
        for whose, difference in differences.items():
            if not difference <= self._tolerance:
                raise EngineError(
                    f"after the sync vLLM's log-probs of a probe text differ from the {whose}'s by {difference:.2g} "
                    f"nats a token, more than {self._tolerance:.2g}: it does not compute with the model's weights"
                )
        self._fault = ""
        self._policy_version = self._policy_version + 1 if version is None else version
        return max(differences.values())

    # -- sessions ------------------------------------------------------------------------------------------------

    def open(self, seed: int) -> int:
        """Begin an empty session whose sampling is seeded by ``seed``; return its handle."""
        return self._sessions.add(_Session(seed))

    def fork(self, session: int, seed: int, *, length: int | None = None) -> int:
        """Begin a session that continues from the first ``length`` ids of ``session`` (None: all of them).

        Raises:
          EngineError: unknown, busy or lost session, or ``length`` is not in 1 to the number of ids held.
        """
        ids = self._sessions.idle(session).ids
        return self._sessions.add(_Session(seed, ids[: check_fork_length(length, len(ids))]))

    def release(self, session: int) -> None:
        """Forget a session; a turn it is sampling is cancelled.

        Raises:
          EngineError: unknown session.
        """
        turn = self._sessions[session].turn
        if turn is not None:
            turn.future.cancel()
            self._drop(turn)
        del self._sessions[session]

    async def generate(self, session: int, new_ids: NDArray[np.int32], params: SamplingParams) -> Completion:
        """Append ``new_ids`` to the session and sample a turn.

        Raises:
          EngineError: unknown, busy or lost session, no ids or ids outside the vocabulary, no room to sample a token
            after them, sampling that vLLM cannot do; or vLLM failed, which loses the sessions that were generating.
        """
        turn = self._admit(self._sessions.idle(session), np.asarray(new_ids, np.int32), params)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())
        try:
            return await turn.future
        finally:
            if turn.session.turn is turn:
                self._drop(turn)

    def _admit(self, session: _Session, ids: NDArray[np.int32], params: SamplingParams) -> _Turn:
        if self._fault:
            raise EngineError(f"the engine samples nothing: {self._fault}")
        held = len(session.ids)
        room = room_after(ids, held, vocab_size=self._library.vocab_size, max_context=self._max_context)
        self._check(params)
        prompt = np.concatenate([session.ids, ids])
        self._num_turns += 1
        turn = _Turn(str(self._num_turns), session, params.max_tokens, asyncio.get_running_loop().create_future())
        budget = replace(params, max_tokens=min(params.max_tokens, room))
        self._library.add(turn.name, prompt.tolist(), budget, derive(session.seed, "engine", len(prompt)))
        session.ids, session.turn = prompt, turn
        self._turns[turn.name] = turn
        return turn

    def _check(self, params: SamplingParams) -> None:
        size = self._library.vocab_size
        for token in params.stop_token_ids:
            if not 0 <= token < size:
                raise EngineError(f"stop token {token} lies outside the vocabulary of {size}")
        if "" in params.stop:
            raise EngineError("an empty stop string would end every turn: remove it from params.stop")
        if params.top_p < 1 and params.temperature > 0:
            raise EngineError(
                f"top_p {params.top_p} with vLLM, which reports log-probabilities inside the nucleus only: "
                "use top_p 1, or the transformers engine"
            )

    # -- the background task -------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Step until no turn is left. A failure reaches everyone who waits, and nobody else."""
        try:
            while True:
                await asyncio.sleep(0)
                if not self._turns:
                    return
                for sampled in self._library.step():
                    self._end(sampled)
        except Exception as error:
            self._abandon(error)
        finally:
            self._abandon(None)

    def _end(self, sampled: SampledTurn) -> None:
        turn = self._turns.pop(sampled.request, None)
        if turn is None:
            return
        session, reason = turn.session, sampled.stop_reason
        session.ids, session.turn = np.concatenate([session.ids, sampled.ids]), None
        self.num_prompt_tokens += sampled.num_prompt
        self.num_cached_tokens += sampled.num_cached
        if reason is StopReason.MAX_TOKENS and len(sampled.ids) < turn.wanted:
            reason = StopReason.CONTEXT_FULL
        if not turn.future.done():
            said = (sampled.ids, sampled.logprobs, sampled.entropies)
            turn.future.set_result(Completion(*said, reason, self._policy_version, sampled.alternatives))

    def _abandon(self, error: Exception | None) -> None:
        """Fail (or without an error cancel) every turn; their sessions are lost."""
        for turn in list(self._turns.values()):
            break_off(turn.future, error)
            self._drop(turn)

    def _drop(self, turn: _Turn) -> None:
        """Take a turn out of vLLM's schedule in the middle; its session is lost."""
        turn.session.turn, turn.session.is_lost = None, True
        if self._turns.pop(turn.name, None) is not None:
            self._library.abort(turn.name)


def _weights(model: Any) -> Iterable[tuple[str, Any]]:
    """Yield names and tensors as a checkpoint of ``model`` would hold them."""
    for name, tensor in model.state_dict().items():
        yield name, tensor.detach()
