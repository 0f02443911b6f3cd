"""The inline context: tools answer inside the assistant's message, which goes on behind their answer."""

import numpy as np

from agentrl.context.append import AppendContext, AppendConversation
from agentrl.context.base import Feed, observation_pieces
from agentrl.env import Info

_BEFORE, _AFTER = " <result>\n", "\n</result>"


class InlineContext(AppendContext):
    """Tool-integrated reasoning: one assistant message holds many turns, each up to the end of a tool call.

    A turn that ends in the middle of its message (at a stop string such as ``</python>``, or cut off) is followed by
    the environment's reply inside the same message, and the policy writes on::

        <first observation> ⟶ reasoning <python>…</python> <result>\\n…\\n</result> reasoning … answer <end>

    A turn that ends the message is followed, if the episode goes on, by a new user message, as in
    :class:`~agentrl.context.append.AppendContext`. So turns of both kinds, inside a message and between messages,
    are the same turns for samplers, credit and the store.

    The reply is in the form of ARPO (arXiv:2507.19849, and its released code); it is tokenised on its own and never
    trained on. Only special tokens cannot be forged in it: a reply may contain ``</result>`` as any other text.

    Args:
      chat: the chat format.
      protocol: the action protocol, usually :func:`~agentrl.context.tool_tags.tool_tags`.
      show_admissible: list the admissible actions below each observation.
    """

    def begin(self) -> "InlineConversation":
        """Return the empty conversation of a new episode."""
        return InlineConversation(self)


class InlineConversation(AppendConversation):
    """The conversation of one episode under :class:`InlineContext`."""

    def feed(self, observation: str, info: Info) -> Feed:
        """Return the reply inside the message, or what stands between it and the next."""
        if self._num_turns == 0 or self._ended:
            return super().feed(observation, info)
        encode = self._context.chat.encode
        pieces = observation_pieces(observation, info, self._context.show_admissible)
        return Feed(np.concatenate([encode(text) for text in (_BEFORE, *pieces, _AFTER)]), len(self._builder))
