"""A context policy from the words of a configuration."""

from typing import Any

from agentrl.context.append import AppendContext
from agentrl.context.base import Context
from agentrl.context.chat import ChatFormat
from agentrl.context.inline import InlineContext
from agentrl.context.protocols import ActionProtocol, action_protocol
from agentrl.context.tool_tags import tool_tags
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
      kind: ``"append"``, ``"window"`` or ``"inline"``.
      protocol: see :func:`named_protocol`.
      window: turns shown by ``"window"``.
      show_admissible: list the admissible actions in the observation.
      system: the system message; None takes the protocol's instructions.

    Raises:
      ConfigError: unknown kind or protocol.
      DataError: the chat template cannot be used.
    """
    agreed = named_protocol(protocol)
    chat = ChatFormat(tokenizer, agreed.instructions if system is None else system)
    if kind == "append":
        return AppendContext(chat, agreed, show_admissible=show_admissible)
    if kind == "window":
        return WindowContext(chat, agreed, k=window, show_admissible=show_admissible)
    if kind == "inline":
        return InlineContext(chat, agreed, show_admissible=show_admissible)
    raise ConfigError(f"no context {kind!r}{nearest(kind, ('append', 'window', 'inline'))}")


def named_protocol(name: str) -> ActionProtocol:
    """Return the action protocol of a configuration: a registered name, or ``"tools:NAME,NAME"`` with any tools.

    Raises:
      ConfigError: there is none of this name, or the tools' names cannot be used.
    """
    if name.startswith("tools:"):
        return tool_tags([tool.strip() for tool in name.removeprefix("tools:").split(",")])
    return action_protocol(name)
