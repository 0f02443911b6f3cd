"""Action protocols: what a message must look like, and how the action is read from it."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from agentrl.errors import ConfigError, nearest


@dataclass(frozen=True, slots=True)
class ParsedAction:
    """An action read from a message.

    Attributes:
      action: what is sent to the environment; any string is.
      valid: False if the message broke the protocol.
    """

    action: str
    valid: bool


@dataclass(frozen=True, slots=True)
class ActionProtocol:
    """An agreement on the form of messages.

    Attributes:
      name: the name in configurations.
      instructions: the system message that explains the form; None where nothing needs explaining.
      stop: strings that end a turn.
      parse: message -> action. Never raises.
      write: action -> a message whose action it is: ``parse(write(a)) == ParsedAction(a, True)`` for a stripped,
        non-empty ``a`` without the protocol's own marks. For demonstrations.
      marks: the protocol's own marks; a tokenizer made for it has a token for each.
    """

    name: str
    instructions: str | None
    stop: tuple[str, ...]
    parse: Callable[[str], ParsedAction]
    write: Callable[[str], str]
    marks: tuple[str, ...] = ()


def parse_bare(text: str) -> ParsedAction:
    """Return the whole message, stripped; valid unless it is empty.

    >>> parse_bare(" open drawer 1 ")
    ParsedAction(action='open drawer 1', valid=True)
    """
    action = text.strip()
    return ParsedAction(action, bool(action))


_ACTION = re.compile(r"<action>(.*?)</action>", re.DOTALL)
_TAGGED = re.compile(r"\s*<think>.*?</think>\s*<action>.*?</action>\s*", re.DOTALL)


def parse_tags(text: str) -> ParsedAction:
    """Return the text inside ``<action>…</action>``, white space collapsed.

    Valid iff the message is one ``<think>…</think>`` followed by one ``<action>…</action>`` that is not empty, and
    nothing but white space around them. A message with exactly one action and any other fault is invalid, yet that
    action is sent; in all other cases the whole message is, and the world answers it as the nonsense it is.

    Differs from the released GiGPO code: the action keeps its case, and more than one action is invalid (there the
    first is taken).

    >>> parse_tags("<think>a cup</think><action>take cup 1</action>")
    ParsedAction(action='take cup 1', valid=True)
    >>> parse_tags("<action>look</action>").valid
    False
    """
    actions = _ACTION.findall(text)
    marks = [text.count(mark) for mark in ("<think>", "</think>", "<action>", "</action>")]
    action = " ".join(actions[0].split()) if len(actions) == 1 else ""
    valid = bool(action) and marks == [1, 1, 1, 1] and _TAGGED.fullmatch(text) is not None
    return ParsedAction(action or text.strip(), valid)


_PROTOCOLS: dict[str, ActionProtocol] = {}


def register_protocol(protocol: ActionProtocol) -> ActionProtocol:
    """Make a protocol known by its name; a name can be taken once.

    Raises:
      ConfigError: the name is taken.
    """
    if protocol.name in _PROTOCOLS:
        raise ConfigError(f"there is an action protocol {protocol.name!r} already: choose another name")
    _PROTOCOLS[protocol.name] = protocol
    return protocol


def action_protocol(name: str) -> ActionProtocol:
    """Return the protocol called ``name``.

    Raises:
      ConfigError: there is none; the message names the nearest.
    """
    try:
        return _PROTOCOLS[name]
    except KeyError:
        raise ConfigError(f"no action protocol {name!r}{nearest(name, _PROTOCOLS)}") from None


BARE = register_protocol(ActionProtocol("bare", None, (), parse_bare, str))
TAGS = register_protocol(
    ActionProtocol(
        "tags",
        "First reason about the situation inside <think> </think>, then give exactly one action inside "
        "<action> </action>. Write nothing else.",
        ("</action>",),
        parse_tags,
        "<think></think><action>{}</action>".format,
        ("<think>", "</think>", "<action>", "</action>"),
    )
)
