"""A served model as an engine that plays episodes: messages go out, messages come back. For evaluation only.

Ids are the bytes of the messages (`agentrl.engines.text`), log-probs and entropies are NaN: nothing can be trained on.
"""

import numpy as np
from numpy.typing import NDArray

from agentrl.engines.base import Completion, SamplingParams
from agentrl.engines.openai import ChatEngine
from agentrl.engines.text import ids_of, text_of
from agentrl.errors import EngineError
from agentrl.types import StopReason

NO_BOUND = 2**31 - 1
"""The server knows how much its model can read."""


class ServedEngine:
    """Plays with a model behind a chat server: one session, one conversation.

    Stop strings are applied here: most servers leave them out of the text, and actions end with them. What a model says
    behind one is dropped. Seeds have no effect: the protocol promises nothing about them.

    Args:
      client: of the server.
      system: the system message; None for none.
    """

    tokenizer = None
    max_context = NO_BOUND

    def __init__(self, client: ChatEngine, system: str | None = None) -> None:
        self._client = client
        self._opening = [] if system is None else [{"role": "system", "content": system}]
        self._sessions: dict[int, list[dict[str, str]]] = {}
        self._opened = 0

    def open(self, seed: int) -> int:
        """Begin a conversation; return its handle."""
        self._opened += 1
        self._sessions[self._opened] = list(self._opening)
        return self._opened

    def fork(self, session: int, seed: int, *, length: int | None = None) -> int:
        """Refuse: conversations with a server are not branched.

        Raises:
          EngineError: always.
        """
        raise EngineError("a served model is evaluated only: its conversations are not branched")

    def release(self, session: int) -> None:
        """Forget a conversation."""
        self._sessions.pop(session, None)

    async def generate(self, session: int, new_ids: NDArray[np.int32], params: SamplingParams) -> Completion:
        """Send the conversation with ``new_ids``, the user's message, and return the answer.

        Raises:
          EngineError: unknown session, or no answer after the client's retries.
        """
        if session not in self._sessions:
            raise EngineError(f"no session {session}: it was never opened or has been released")
        messages = self._sessions[session]
        messages.append({"role": "user", "content": text_of(new_ids)})
        asked = SamplingParams(params.max_tokens, params.temperature, params.top_p)
        reply = await self._client.reply(messages, asked)
        text, stopped = _cut(reply.text, params.stop)
        messages.append({"role": "assistant", "content": text})
        reason = StopReason.MAX_TOKENS if reply.is_cut_off else StopReason.END
        if stopped:
            reason = StopReason.STOP_STRING
        ids = ids_of(text, ended=reason is StopReason.END)
        unknown = np.full(len(ids), np.nan, np.float32)
        return Completion(ids, unknown, unknown, reason, 0)


def _cut(text: str, stop: tuple[str, ...]) -> tuple[str, bool]:
    """Return a text up to the end of the first stop string in it, and whether there is one."""
    ends = [(text.index(one), len(one)) for one in stop if one in text]
    if not ends:
        return text, False
    place, length = min(ends)
    return text[: place + length], True
