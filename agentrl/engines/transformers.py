"""Continuous batching over sessions for any causal language model that transformers loads.

Every session owns a slot of a preallocated KV cache, which it keeps across turns: a new turn computes only what it
adds. A session is always *cached positions plus one pending token*: a step feeds all new tokens but the last of the
turns that begin, and in the same pass the pending token of every running session, to sample the next one. So there is
one place that samples, and a session that begins a turn is no different from one in the middle of it.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agentrl.engines.base import Completion, SamplingParams, check_fork_length
from agentrl.engines.cache.batch import Batch, is_sparse
from agentrl.engines.cache.feeding import Piece, feeding_passes
from agentrl.engines.cache.pool import SlotPool
from agentrl.engines.cache.prompts import Prompts
from agentrl.engines.cache.sessions import Request, Session
from agentrl.engines.cache.slots import Window
from agentrl.engines.cache.state import TurnStart
from agentrl.engines.forward.lean import LeanModel
from agentrl.engines.forward.modules import ModuleModel
from agentrl.engines.handles import SessionEngine, break_off, room_after
from agentrl.engines.sampling import sample
from agentrl.engines.stopping import GO_ON, StopRules
from agentrl.errors import EngineError
from agentrl.models.unsupported import refuse_unsupported
from agentrl.seeding import generator

# Fewer common ids of two prompts are computed twice: less than what copying them, or waiting for a step, takes.
_MIN_COMMON = 16


class TransformersEngine(SessionEngine[Session]):
    """An :class:`~agentrl.engines.base.Engine` around a transformers model that it shares with the trainer.

    A background task steps the batch while requests are there and ends when none is left, so nothing needs closing
    and each ``asyncio.run`` finds the engine idle. A step samples one token for all running turns; between steps the
    event loop runs the environments. Waiting turns are fed in the pass of a step, which they then run in, once they
    have been idle for ``prefill_patience`` steps of the running batch in sum.

    What the first prompts of open sessions have in common (a group's prompt, a system message) is computed once: who
    begins as another did takes over its keys and values as a fork would.

    Args:
      model: a causal LM with attention in all layers (``transformers.PreTrainedModel``, or peft's wrapper).
      tokenizer: its tokenizer; None is enough where no stop strings are used.
      max_sessions: slots; more sessions cannot be open at a time.
      max_context: most tokens one session can hold.
      prefill_patience: see above; 0 prefills at once.
      prefill_tokens: most (padded) tokens in one prefilling pass.
      min_shared: a fork shares its parent's keys and values if as many positions are not shared yet, and copies
        fewer. None: if sharing is likely to be faster. Models that do not run lean always copy.
      share_prompts: compute what the first prompts of open sessions have in common once; forks are not concerned.
      use_lean: run Llama-like models by :class:`~agentrl.engines.forward.lean.LeanModel` instead of their own modules.
      device: moves the model there; by default it stays where it is.

    Raises:
      ModelError: the model has layers that slots cannot serve, or fewer positions than ``max_context``.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        max_sessions: int = 64,
        max_context: int = 1024,
        prefill_patience: float = 0.1,
        prefill_tokens: int = 4096,
        min_shared: int | None = None,
        share_prompts: bool = True,
        use_lean: bool = True,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(tokenizer, max_context)
        refuse_unsupported(model.config, max_context)
        self._model = model if device is None else model.to(device)
        self._prefill_patience = prefill_patience
        self._prefill_tokens = prefill_tokens
        weight = next(model.parameters())
        self._device: torch.device = weight.device
        self._pool = SlotPool(max_sessions, max_context, weight.dtype, weight.device, min_shared)
        self._cache, self._state = self._pool.cache, self._pool.state
        self._rules = StopRules(tokenizer, model.config.vocab_size, weight.device)
        self._waiting: list[Request] = []
        self._running: dict[int, Request] = {}
        self._batch: Batch | None = None
        self._idle_steps = 0
        self._task: asyncio.Task[None] | None = None
        self._policy_version = 0
        self._share_prompts = share_prompts
        self._prompts = Prompts()
        self._use_lean = use_lean
        self._forward: LeanModel | ModuleModel = ModuleModel(self._model, self._cache)

    @property
    def policy_version(self) -> int:
        """Version of the weights, stamped on every completion. The trainer raises it after changing them.

        Raises:
          EngineError: it is set while sessions are open: their keys and values are of the old weights.
        """
        return self._policy_version

    @policy_version.setter
    def policy_version(self, version: int) -> None:
        if self._sessions:
            raise EngineError(
                f"{len(self._sessions)} sessions are open while the policy version changes to {version}: "
                "their keys and values are of the old weights; release them first"
            )
        self._policy_version = version

    @property
    def kv_bytes(self) -> int:
        """Memory of the keys and values that open sessions hold: what is shared counts once."""
        blocks = {piece.block for session in self._sessions for piece in session.prefix.pieces}
        own = sum(self._pool.num_own(session) for session in self._sessions)
        return own * self._cache.position_bytes + sum(block.num_bytes for block in blocks)

    # -- sessions ------------------------------------------------------------------------------------------------

    def open(self, seed: int) -> int:
        """Begin an empty session whose sampling is seeded by ``seed``; return its handle.

        Raises:
          EngineError: all slots are taken.
        """
        if self._pool.lowest_free == self._cache.num_slots:
            raise EngineError(
                f"all {len(self._sessions)} slots are taken: release a session, or raise max_sessions "
                "or lower the number of concurrent rollouts"
            )
        session = self._pool.lend()
        uniforms = generator(seed, "engine").random(self._max_context, dtype=np.float32)
        self._state.uniforms_KS[session.slot] = torch.from_numpy(uniforms).to(self._device)
        return self._sessions.add(session)

    def fork(self, session: int, seed: int, *, length: int | None = None) -> int:
        """Begin a session that continues from the first ``length`` ids of ``session`` (None: all of them).

        With the seed of ``session`` the fork samples the same. Many keys and values are frozen and shared, few are
        copied: see ``min_shared``.

        Raises:
          EngineError: unknown or busy session, all slots are taken, or ``length`` is not in 1 to the ids held.
        """
        parent = self._sessions.idle(session)
        held = check_fork_length(length, len(parent.ids))
        handle = self.open(seed)
        child = self._sessions[handle]
        # The last id is pending, as after a turn, so it need not be cached: the next turn feeds it.
        child.ids = parent.ids[:held]
        self._inherit(parent, child, max(0, held - 1))
        return handle

    def _inherit(self, parent: Session, child: Session, length: int) -> None:
        """Let an empty session begin with the first ``length`` cached positions of another."""
        if self._pool.inherit(parent, child, length, shares=isinstance(self._forward, LeanModel)):
            self._batch = None

    def release(self, session: int) -> None:
        """Forget a session; a turn it is sampling is cancelled.

        Raises:
          EngineError: unknown session.
        """
        released = self._sessions[session]
        if released.request is not None:
            released.request.future.cancel()
            self._drop(released.request)
        del self._sessions[session]
        self._prompts.discard(released)
        self._pool.take_back(released)

    async def generate(self, session: int, new_ids: NDArray[np.int32], params: SamplingParams) -> Completion:
        """Append ``new_ids`` to the session and sample a turn.

        Raises:
          EngineError: unknown, busy or lost session, no ids or ids outside the vocabulary, or no room to sample a
            token after them; or the model failed, which loses the sessions that were generating.
        """
        request = self._admit(self._sessions.idle(session), np.asarray(new_ids, np.int64), params)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())
        try:
            return await request.future
        finally:
            if request.session.request is request:
                self._drop(request)
                request.session.is_lost = True

    def _admit(self, session: Session, ids: NDArray[np.int64], params: SamplingParams) -> Request:
        vocab_size, held = self._model.config.vocab_size, len(session.ids)
        room = room_after(ids, held, vocab_size=vocab_size, max_context=self._max_context)
        start = held + len(ids) - 1
        end = start + min(params.max_tokens, room)
        rule = self._rules.index(params)
        future = asyncio.get_running_loop().create_future()
        session.ids = np.concatenate([session.ids, ids])
        request = Request(session, start, end, rule, params, future)
        session.request = request
        self._waiting.append(request)
        return request

    # -- the background task -------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Step until no request is left. A failure reaches everyone who waits, and nobody else."""
        try:
            with self._serving():
                while True:
                    await asyncio.sleep(0)
                    if self._waiting or self._running:
                        self._step()
                    if not (self._waiting or self._running):
                        return
        except Exception as error:
            self._abandon(error)
        finally:
            self._abandon(None)

    @contextmanager
    def _serving(self) -> Iterator[None]:
        """Put the model into evaluation mode (no dropout, no checkpointing) and back; take its present parameters."""
        was_training = self._model.training
        is_lean = self._use_lean and LeanModel.fits(self._model)
        self._forward = (LeanModel if is_lean else ModuleModel)(self._model, self._cache)
        if was_training:
            self._model.eval()
        try:
            yield
        finally:
            if was_training:
                self._model.train()

    @torch.no_grad()
    def _step(self) -> None:
        """Sample one token for every running session, among them, after enough patience, those that wait."""
        self._idle_steps += len(self._waiting)
        passes: list[list[Window]] = [[]]
        if self._waiting and self._idle_steps >= self._prefill_patience * len(self._running):
            passes = self._join()
        for windows in passes[:-1]:
            self._forward(windows, samples=False)
        self._decode(passes[-1])

    def _abandon(self, error: Exception | None) -> None:
        """Fail (or without an error cancel) every request; their sessions are lost."""
        for request in (*self._waiting, *self._running.values()):
            break_off(request.future, error)
            request.session.is_lost = True
            self._prompts.discard(request.session)
            self._drop(request)

    def _drop(self, request: Request) -> None:
        """Take a request out of the schedule."""
        session = request.session
        session.request = None
        if self._running.get(session.slot) is request:
            del self._running[session.slot]
            self._state.stop(session.slot)
            self._batch = None
        elif request in self._waiting:
            self._waiting.remove(request)

    # -- beginning turns -----------------------------------------------------------------------------------------

    def _join(self) -> list[list[Window]]:
        """Let waiting requests run; return what has to be fed first, the windows of each pass.

        A request whose prompt begins as another's that is fed just now waits for it.
        """
        joined, later, feeding = [], [], Prompts()
        for request in self._waiting:
            session = request.session
            if session.length == 0 and self._share_prompts:
                donor, common = self._prompts.closest(session.ids)
                if feeding.closest(session.ids)[1] >= common + _MIN_COMMON:
                    later.append(request)
                    continue
                if donor is not None and common >= _MIN_COMMON:
                    self._inherit(donor, session, common)
                feeding.add(session)
            joined.append(request)
        self._prompts.update(feeding)
        self._waiting = later
        self._idle_steps = self._idle_steps if later else 0
        fed = [Piece(request.session, request.session.length, request.fed) for request in joined]
        turns = []
        for request in joined:
            session = request.session
            self._running[session.slot] = request
            session.length = request.start
            pending = int(session.ids[-1])
            turns.append(TurnStart(session.slot, pending, request.start, request.end, request.rule, request.params))
        self._state.start(turns)
        self._batch = self._gather_batch()  # now, as sessions may move
        return feeding_passes(self._cache, fed, self._prefill_tokens)

    # -- decoding ------------------------------------------------------------------------------------------------

    def _decode(self, windows: list[Window]) -> None:
        """Sample one token for every running session, in one pass with what ``windows`` feed."""
        batch = self._batch = self._batch or self._gather_batch()
        state, rows = self._state, batch.rows
        window = batch.window(self._cache, state)
        logits_BV = self._forward([*windows, window])
        assert logits_BV is not None
        slots_B, positions_B = window.slots_B1[:, 0], window.positions_BT[:, 0]
        sampled = sample(
            logits_BV,
            state.temperature_K[rows],
            state.top_p_K[rows],
            state.uniforms_KS[slots_B, positions_B],
            batch.mix,
        )
        state.write(rows, slots_B, positions_B, sampled)
        codes_B = self._rules.codes_RV[state.rule_K[rows], sampled.ids_B].cpu().numpy()
        codes = codes_B[batch.in_rows]
        state.host_lengths_K[batch.slots] += 1
        is_over = state.host_lengths_K[batch.slots] >= state.host_ends_K[batch.slots]
        ended = np.flatnonzero(is_over | (codes != GO_ON))
        if len(ended):
            self._end_turns(batch.slots[ended], codes[ended])

    def _gather_batch(self) -> Batch:
        """Address the running slots, after moving the highest into free ones where they have become sparse."""
        if is_sparse(sorted(self._running)):
            while self._pool.lowest_free < (highest := max(self._running)):
                request = self._running.pop(highest)
                self._pool.lower(request.session)
                self._running[request.session.slot] = request
        sessions = [self._running[slot].session for slot in sorted(self._running)]
        return Batch.of(sessions, self._state.mix(), self._device)

    def _end_turns(self, slots: NDArray[np.int64], codes: NDArray[np.uint8]) -> None:
        """Resolve those of ``slots`` whose last token did end the turn; all are read from the device at once."""
        requests = [self._running[int(slot)] for slot in slots]
        record = self._state.read(
            slots,
            min(request.start for request in requests),
            alternatives=any(request.params.alternatives for request in requests),
        )
        for row, (request, code) in enumerate(zip(requests, codes, strict=True)):
            session, start, params = request.session, request.start, request.params
            end = int(self._state.host_lengths_K[session.slot])
            ids = record.ids(row, start, end)
            reason = self._rules.reason(int(code), ids, params, is_full=end >= request.end)
            if reason is None:
                continue
            session.ids, session.length = np.concatenate([session.ids, ids]), end
            self._drop(request)
            if not request.future.done():
                version = self._policy_version
                request.future.set_result(
                    record.completion(row, start, end, reason, version, alternatives=params.alternatives)
                )
