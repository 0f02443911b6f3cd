"""Tools: schemas from signatures, strict reading of actions, errors as answers."""

import json
from typing import Any

import pytest

from agentrl.errors import ConfigError, ToolError
from agentrl.tool import Malformed, Tool, ToolCall, ToolResult, read_action, tools_of


def book(day: str, title: str = "meeting", guests: list[str] | None = None, fee: int | float = 0) -> Any:
    """Book a room,
    if there is one.

    Args:
      day: such as
        '2024-05-01'.
      title: what for.

    Returns:
      a note
    """
    if day == "never":
        raise ToolError("no such day")
    return {"day": day, "fee": fee}


class Counter:
    def __init__(self) -> None:
        self.count = 0

    def add(self, number: int) -> str:
        """Add a number."""
        self.count += number
        return str(self.count)

    def _hidden(self) -> None: ...


def test_schema() -> None:
    about = Tool(book).schema["function"]
    assert (about["name"], about["description"]) == ("book", "Book a room, if there is one.")
    properties = about["parameters"]["properties"]
    assert properties["day"] == {"type": "string", "description": "such as '2024-05-01'."}
    assert properties["title"] == {"type": "string", "default": "meeting", "description": "what for."}
    assert about["parameters"]["required"] == ["day"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "argument 'day' is missing; it takes day, title, guests, fee"),
        ({"day": "x", "dey": "y"}, "takes no argument 'dey'"),
        ({"day": 5}, "argument 'day': input should be a valid string, got 5"),
        ({"day": "x", "guests": ["a", 1]}, "argument 'guests.1"),
        ({"day": "x", "fee": True}, "argument 'fee"),
        ({"day": "never"}, "Error: no such day"),
    ],
)
def test_errors_are_answers(arguments: dict[str, Any], said: str) -> None:
    result = Tool(book).call(arguments)
    assert result.is_error
    assert result.text.startswith("Error: ") and said in result.text


def test_numbers_keep_their_kind() -> None:
    assert Tool(book).call({"day": "x", "fee": 5}).text == '{"day": "x", "fee": 5}'
    assert Tool(book).call({"day": "x", "fee": 5.0}).text == '{"day": "x", "fee": 5.0}'


def test_methods_work_on_their_owner() -> None:
    tools, one, other = tools_of(Counter), Counter(), Counter()
    assert list(tools) == ["add"]
    tools["add"].call({"number": 2}, one)
    assert tools["add"].call({"number": 3}, one) == ToolResult("5")
    assert other.count == 0


def test_refused_functions() -> None:
    def bare(x: int) -> None: ...

    def loose(x) -> None:  # type: ignore[no-untyped-def]
        """Do."""

    for function in (bare, loose):
        with pytest.raises(ConfigError, match=function.__name__):
            Tool(function)


def test_reading() -> None:
    call = ToolCall("add", {"number": 1})
    assert read_action(f"  {call.as_action()}\n") == [call]
    assert read_action(f"[{call.as_action()}, {call.as_action()}]") == [call, call]
    assert read_action(" Hello {you} ") == "Hello {you}"


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ("", "empty"),
        ("{", "not valid JSON"),
        ("[]", "a call is an object"),
        ("[1]", "a call is an object"),
        ('{"name": "a"}', "got 'name'"),
        ('{"name": "a", "arguments": {}, "id": 1}', "'id'"),
        ('{"name": 1, "arguments": {}}', "the name of a call is a text"),
        ('{"name": "a", "arguments": "{}"}', "the arguments of a call are an object"),
        ('{"name": "a", "name": "b", "arguments": {}}', "twice"),
        ('{"name": "a", "arguments": {"x": NaN}}', "NaN is no JSON number"),
        ("[" * 100_000, ""),
        (json.dumps({"name": "a", "arguments": {"x": json.loads("[" * 60 + "]" * 60)}}), "nested"),
        ('{"name": "a", "arguments": {"x": 1' + "0" * 5000 + "}}", ""),
    ],
)
def test_malformed(action: str, said: str) -> None:
    read = read_action(action)
    assert isinstance(read, Malformed) and said in read.reason and len(read.reason) < 200
