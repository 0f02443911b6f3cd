"""The window context: a fresh prompt per turn from the last k turns, one training sequence per turn."""

from agentrl.context.base import Feed, observation_pieces
from agentrl.context.chat import ChatFormat
from agentrl.context.protocols import ActionProtocol
from agentrl.context.sequence import SequenceBuilder
from agentrl.engines.base import Completion
from agentrl.env import Info
from agentrl.errors import ConfigError
from agentrl.types import TokenSequence


class WindowContext:
    """Each turn's prompt is the task, the last ``k`` (observation, action) pairs and the current observation.

    The task is the episode's first observation. The prompt reads as a transcript, an action on a line behind ``>``::

        <first observation>
        (earlier turns left out: 3)
        <observation>
        > <action>
        <current observation>

    This is the layout of the released GiGPO code (arXiv:2505.10978, k = 2), in words of our own. With ``k`` at least
    the number of turns it shows what the append-only context shows, except for the messages' text around the action.

    Args:
      chat: the chat format.
      protocol: the action protocol.
      k: pairs shown, 0 or more.
      show_admissible: list the admissible actions below the current observation.

    Raises:
      ConfigError: ``k`` is negative.
    """

    def __init__(
        self, chat: ChatFormat, protocol: ActionProtocol, *, k: int = 2, show_admissible: bool = False
    ) -> None:
        if k < 0:
            raise ConfigError(f"a window of {k} turns: expected 0 or more")
        self.chat = chat
        self.protocol = protocol
        self.k = k
        self.show_admissible = show_admissible

    def begin(self) -> "WindowConversation":
        """Return the empty conversation of a new episode."""
        return WindowConversation(self)


class WindowConversation:
    """The conversation of one episode under :class:`WindowContext`."""

    def __init__(self, context: WindowContext) -> None:
        self._context = context
        self._past: list[tuple[str, str]] = []
        self._sequences: list[TokenSequence] = []

    def feed(self, observation: str, info: Info) -> Feed:
        """Return the whole prompt of this turn."""
        pieces = self._transcript()
        pieces += observation_pieces(observation, info, self._context.show_admissible)
        return Feed(self._context.chat.opening(*pieces), 0)

    def record(self, feed: Feed, observation: str, completion: Completion, action: str) -> None:
        """Keep the turn's sequence, and its observation and action for the next prompts."""
        builder = SequenceBuilder()
        builder.add(feed.ids, completion, len(self._past))
        self._sequences.append(builder.build())
        self._past.append((observation, action))

    def sequences(self) -> list[TokenSequence]:
        """Return one sequence per turn."""
        return list(self._sequences)

    def _transcript(self) -> list[str]:
        if not self._past:
            return []
        left_out = max(0, len(self._past) - self._context.k)
        pieces = [self._past[0][0], "\n"]
        if left_out:
            pieces.append(f"(earlier turns left out: {left_out})\n")
        for index, (observation, action) in enumerate(self._past[left_out:], left_out):
            # The first observation is shown already, as the task.
            pieces += [observation, "\n"] if index else []
            pieces += [f"> {action}\n"]
        return pieces
