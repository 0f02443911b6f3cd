"""A chat format without a tokenizer: ids are the bytes of the text, for models that are spoken to in messages."""

import numpy as np

from agentrl.context.chat import MEMORY_BYTES, ChatFormat
from agentrl.context.memory import Memory
from agentrl.engines.text import END_ID, ids_of, text_of


class TextChat(ChatFormat):
    """Messages as UTF-8. What is fed before a turn is the user's message and nothing around it.

    Args:
      system: the system message, for whoever sends the conversation; None for none.
    """

    def __init__(self, system: str | None = None) -> None:
        self.tokenizer = None
        self.system = system
        self.end_id = END_ID
        nothing = np.zeros(0, np.int32)
        self._prefix = self._to_assistant = self._to_user = nothing
        self._end = np.asarray([END_ID], np.int32)
        self._encode = Memory(ids_of, MEMORY_BYTES // 2)
        self._decode = Memory(self._decode_bytes, MEMORY_BYTES // 2)

    def _decode_bytes(self, raw: bytes) -> str:
        return text_of(np.frombuffer(raw, np.int32))
