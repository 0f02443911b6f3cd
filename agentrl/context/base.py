"""What a context policy is: it decides which ids the engine is fed each turn and what is trained on at the end."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agentrl.context.chat import ChatFormat
from agentrl.context.protocols import ActionProtocol
from agentrl.engines.base import Completion
from agentrl.env import Info
from agentrl.types import TokenSequence


@dataclass(frozen=True, slots=True)
class Feed:
    """What to feed the engine before a turn.

    Attributes:
      ids: the new ids, shape (K,).
      num_held: tokens the session holds already; 0 asks for a new session.
    """

    ids: NDArray[np.int32]
    num_held: int

    @property
    def is_fresh(self) -> bool:
        """True if the ids go into a session of their own."""
        return self.num_held == 0


class Conversation(Protocol):
    """The context of one episode. Each turn calls :meth:`feed`, then :meth:`record`; `feed` alone changes nothing."""

    def feed(self, observation: str, info: Info) -> Feed:
        """Return the ids to feed before the turn that sees ``observation``."""

    def record(self, feed: Feed, observation: str, completion: Completion, action: str) -> None:
        """Take over what was fed and sampled, and the action that was read from it."""

    def sequences(self) -> list[TokenSequence]:
        """Return the training sequences so far; each ends with a sampled token."""


class Context(Protocol):
    """A context policy: the chat format, the action protocol, and a new conversation for each episode."""

    @property
    def chat(self) -> ChatFormat:
        """How messages become ids."""

    @property
    def protocol(self) -> ActionProtocol:
        """How an action is read from a message."""

    def begin(self) -> Conversation:
        """Return the empty conversation of a new episode."""


def observation_pieces(observation: str, info: Info, show_admissible: bool) -> list[str]:
    """Return the text of an observation in pieces, with the admissible actions one a line if asked for.

    The pieces are tokenised separately, so that each action's ids are looked up and not computed again.
    """
    actions = info.get("admissible_actions") if show_admissible else None
    if not actions:
        return [observation]
    return [observation, "\nPossible actions:", *(f"\n- {action}" for action in actions)]
