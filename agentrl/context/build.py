"""A context policy from the words of a configuration."""

from collections.abc import Callable
from typing import Any

from agentrl.context.append import AppendContext
from agentrl.context.base import Context
from agentrl.context.chat import ChatFormat
from agentrl.context.inline import InlineContext
from agentrl.context.protocols import ActionProtocol, action_protocol
from agentrl.context.tool_tags import tool_tags
from agentrl.context.window import WindowContext
from agentrl.errors import ConfigError, nearest

ContextFactory = Callable[[ChatFormat, ActionProtocol, bool, int], Context]
"""Makes a context policy of chat format, protocol, show_admissible and window."""

_CONTEXTS: dict[str, ContextFactory] = {
    "append": lambda chat, protocol, shows, window: AppendContext(chat, protocol, show_admissible=shows),
    "window": lambda chat, protocol, shows, window: WindowContext(chat, protocol, k=window, show_admissible=shows),
    "inline": lambda chat, protocol, shows, window: InlineContext(chat, protocol, show_admissible=shows),
}


def register_context(kind: str, factory: ContextFactory) -> None:
    """Make a context policy known by its name, as ``context.kind``; a name can be taken once.

    An environment's module may do it: it is imported before the name is looked up.

    Raises:
      ConfigError: the name is taken.
    """
    if kind in _CONTEXTS:
        raise ConfigError(f"there is a context {kind!r} already: choose another name")
    _CONTEXTS[kind] = factory


def named_context(kind: str) -> ContextFactory:
    """Return what makes the context policy called ``kind``.

    Raises:
      ConfigError: there is none; the message names the nearest.
    """
    try:
        return _CONTEXTS[kind]
    except KeyError:
        raise ConfigError(f"no context {kind!r}{nearest(kind, _CONTEXTS)}") from None


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
      kind: ``"append"``, ``"window"``, ``"inline"``, or one that was registered.
      protocol: see :func:`named_protocol`.
      window: turns shown by ``"window"``.
      show_admissible: list the admissible actions in the observation.
      system: the system message; None takes the protocol's instructions, an empty one is none.

    Raises:
      ConfigError: unknown kind or protocol.
      DataError: the chat template cannot be used.
    """
    factory, agreed = named_context(kind), named_protocol(protocol)
    chat = ChatFormat(tokenizer, agreed.instructions if system is None else system or None)
    return factory(chat, agreed, show_admissible, window)


def named_protocol(name: str) -> ActionProtocol:
    """Return the action protocol of a configuration: a registered name, or ``"tools:NAME,NAME"`` with any tools.

    Raises:
      ConfigError: there is none of this name, or the tools' names cannot be used.
    """
    if name.startswith("tools:"):
        return tool_tags([tool.strip() for tool in name.removeprefix("tools:").split(",")])
    return action_protocol(name)
