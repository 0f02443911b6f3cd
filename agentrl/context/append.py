"""The append-only context: the whole conversation in one session, one training sequence per trajectory."""

from agentrl.context.base import Feed, observation_pieces
from agentrl.context.chat import ChatFormat
from agentrl.context.protocols import ActionProtocol
from agentrl.context.sequence import SequenceBuilder
from agentrl.engines.base import Completion
from agentrl.env import Info
from agentrl.types import TokenSequence


class AppendContext:
    """Each turn feeds only the new observation; everything before stays in the engine's session.

    Args:
      chat: the chat format.
      protocol: the action protocol.
      show_admissible: list the admissible actions below each observation.
    """

    def __init__(self, chat: ChatFormat, protocol: ActionProtocol, *, show_admissible: bool = False) -> None:
        self.chat = chat
        self.protocol = protocol
        self.show_admissible = show_admissible

    def begin(self) -> "AppendConversation":
        """Return the empty conversation of a new episode."""
        return AppendConversation(self)


class AppendConversation:
    """The conversation of one episode under :class:`AppendContext`."""

    def __init__(self, context: AppendContext) -> None:
        self._context = context
        self._builder = SequenceBuilder()
        self._num_turns = 0
        self._ended = False

    def feed(self, observation: str, info: Info) -> Feed:
        """Return the glue after the last message and the new observation."""
        pieces = observation_pieces(observation, info, self._context.show_admissible)
        chat = self._context.chat
        ids = chat.opening(*pieces) if self._num_turns == 0 else chat.following(*pieces, ended=self._ended)
        return Feed(ids, len(self._builder))

    def record(self, feed: Feed, observation: str, completion: Completion, action: str) -> None:
        """Append what was fed and sampled."""
        self._builder.add(feed.ids, completion, self._num_turns)
        self._ended = self._context.chat.has_ended(completion.ids)
        self._num_turns += 1

    def sequences(self) -> list[TokenSequence]:
        """Return the one sequence, or none before the first turn."""
        return [self._builder.build()] if self._num_turns else []
