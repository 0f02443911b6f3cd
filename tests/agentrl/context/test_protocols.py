"""Reading an action from a message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.context import ActionProtocol, ParsedAction, action_protocol, register_protocol
from agentrl.context.protocols import parse_bare, parse_tags
from agentrl.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "action", "valid"),
    [("look", "look", True), ("  go north\n", "go north", True), ("", "", False), (" \n", "", False)],
)
def test_bare(text: str, action: str, valid: bool) -> None:
    assert parse_bare(text) == ParsedAction(action, valid)


@pytest.mark.parametrize(
    ("text", "action", "valid"),
    [
        ("<think>a cup</think><action>take cup 1</action>", "take cup 1", True),
        ("<think></think><action>look</action>", "look", True),
        (" <think>a\nb</think>\n<action> take\n cup </action> ", "take cup", True),
        # Exactly one action, but the form is broken: it is sent all the same.
        ("<action>look</action>", "look", False),
        ("<action>look</action><think>x</think>", "look", False),
        ("<think>x<action>look</action>", "look", False),
        ("<think>x</think>so:<action>look</action>", "look", False),
        ("<think>x</think><think>y</think><action>look</action>", "look", False),
        ("<think>x</think><action>look</action></action>", "look", False),
        ("<think><action>look</action></think>", "look", False),
        # No action, or more than one: the message itself is sent.
        ("look", "look", False),
        ("", "", False),
        ("<think>x</think><action>look", "<think>x</think><action>look", False),
        ("<think>x</think><action> </action>", "<think>x</think><action> </action>", False),
        ("<think>x</think><action>a</action><action>b</action>", None, False),
    ],
)
def test_tags(text: str, action: str | None, valid: bool) -> None:
    assert parse_tags(text) == ParsedAction(text if action is None else action, valid)


@pytest.mark.parametrize("name", ["bare", "tags"])
@given(words=st.lists(st.text("abc123'-", min_size=1), min_size=1))
def test_what_is_written_is_read(name: str, words: list[str]) -> None:
    protocol, action = action_protocol(name), " ".join(words)
    assert protocol.parse(protocol.write(action)) == ParsedAction(action, True)


@pytest.mark.parametrize("name", ["bare", "tags"])
@given(text=st.text())
def test_any_text_is_parsed(name: str, text: str) -> None:
    assert isinstance(action_protocol(name).parse(text).action, str)


def test_a_written_tag_message_ends_where_the_engine_stops() -> None:
    tags = action_protocol("tags")
    assert tags.write("look").endswith(tags.stop)
    assert tags.instructions is not None


def test_an_unknown_protocol_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'tags'"):
        action_protocol("tag")


def test_a_name_is_taken_once() -> None:
    with pytest.raises(ConfigError, match="already"):
        register_protocol(ActionProtocol("bare", None, (), parse_bare, str))
