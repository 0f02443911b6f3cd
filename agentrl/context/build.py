"""A context policy from the words of a configuration."""

from typing import Any

from agentrl.context.append import AppendContext
from agentrl.context.base import Context
from agentrl.context.chat import ChatFormat
from agentrl.context.protocols import action_protocol
from agentrl.context.window import WindowContext
from agentrl.errors import ConfigError, nearest


def make_context(
    tokenizer: Any,
    kind: str = "append",
    *,
    protocol: str = "bare",
    window: int = 2,
    show_admissible: bool = False,
    system: str | None = None,
) -> Context:
    """Return the context policy ``kind`` for a tokenizer.

    Args:
      tokenizer: with a chat template.
      kind: ``"append"`` or ``"window"``.
      protocol: name of the action protocol.
      window: turns shown by ``"window"``.
      show_admissible: list the admissible actions in the observation.
      system: the system message; None takes the protocol's instructions.

    Raises:
      ConfigError: unknown kind or protocol.
      DataError: the chat template cannot be used.
    """
    agreed = action_protocol(protocol)
    chat = ChatFormat(tokenizer, agreed.instructions if system is None else system)
    if kind == "append":
        return AppendContext(chat, agreed, show_admissible=show_admissible)
    if kind == "window":
        return WindowContext(chat, agreed, k=window, show_admissible=show_admissible)
    raise ConfigError(f"no context {kind!r}{nearest(kind, ('append', 'window'))}")
