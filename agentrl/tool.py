"""Tools: typed Python functions that an agent calls by JSON; their schemas, and how an action is read as calls."""

import functools
import inspect
import json
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pydantic

from agentrl.errors import ConfigError, ToolError

_ARGUMENT = re.compile(r"(\w+):\s*(.*)")
_SHOWN = 80
_MAX_DEPTH = 32
_TOOLS: dict[type, "dict[str, Tool]"] = {}


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A tool's name and the arguments that it is given."""

    name: str
    arguments: Mapping[str, Any]

    def as_action(self) -> str:
        """Return the action that makes this call."""
        return json.dumps({"name": self.name, "arguments": self.arguments}, ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Malformed:
    """An action that is neither calls nor text: what is wrong with it."""

    reason: str


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a tool answered; an error is an answer too."""

    text: str
    is_error: bool = False


def read_action(action: str) -> list[ToolCall] | str | Malformed:
    """Return the calls of an action, its text to the user, or what is wrong with it.

    What begins with ``{`` or ``[`` has to be one call ``{"name": …, "arguments": {…}}``, with these two keys and no
    others, or a list of at least one such call. Everything else that is not blank is text.

    >>> read_action('{"name": "think", "arguments": {"thought": "hm"}}')
    [ToolCall(name='think', arguments={'thought': 'hm'})]
    >>> read_action('{"name": "think"}')
    Malformed(reason="a call has the keys 'name' and 'arguments', got 'name'")
    """
    text = action.strip()
    if not text:
        return Malformed("the action is empty, expected a call or text to the user")
    if text[0] not in "{[":
        return text
    try:
        data = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        _check_depth(data, _MAX_DEPTH)
        return [_as_call(item) for item in data] if isinstance(data, list) and data else [_as_call(data)]
    except (ValueError, RecursionError) as error:
        kind = "not valid JSON: " if isinstance(error, json.JSONDecodeError) else ""
        return Malformed(kind + _short(str(error)))


def _as_call(data: Any) -> ToolCall:
    if not isinstance(data, dict):
        raise ValueError(f"a call is an object with the keys 'name' and 'arguments', got {_short(repr(data))}")
    if set(data) != {"name", "arguments"}:
        given = ", ".join(repr(key) for key in data) or "none"
        raise ValueError(f"a call has the keys 'name' and 'arguments', got {given}")
    if not isinstance(data["name"], str):
        raise ValueError(f"the name of a call is a text, got {_short(repr(data['name']))}")
    if not isinstance(data["arguments"], dict):
        raise ValueError(f"the arguments of a call are an object, got {_short(repr(data['arguments']))}")
    return ToolCall(data["name"], data["arguments"])


def _check_depth(data: Any, left: int) -> None:
    if left == 0:
        raise ValueError(f"objects and lists are nested more than {_MAX_DEPTH} deep")
    for item in data.values() if isinstance(data, dict) else data if isinstance(data, list) else ():
        _check_depth(item, left - 1)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique = dict(pairs)
    if len(unique) < len(pairs):
        raise ValueError(f"an object has a key twice, among {', '.join(repr(key) for key, _ in pairs)}")
    return unique


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


class Tool:
    """A typed function with a docstring, as something that an agent can call.

    Name, description and JSON schema come from the function: its annotations, defaults and docstring, whose section
    ``Args:`` describes the arguments. A first parameter called ``self`` is none of the agent's: it is the object that
    the tool works on, and given to :meth:`call`.

    Args:
      function: every parameter is annotated. It returns text, or what JSON can hold, or None (no text), and raises
        ToolError for what cannot be done.

    Raises:
      ConfigError: a parameter without annotation or name of its own, or no docstring.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.name = function, function.__name__
        self.description, notes = _docstring(function)
        parameters = [p for p in inspect.signature(function).parameters.values() if p.name != "self"]
        hints = typing.get_type_hints(function)
        fields: dict[str, Any] = {}
        for number, parameter in enumerate(parameters):
            if parameter.name not in hints or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
                raise ConfigError(f"tool {self.name}: parameter {parameter} needs a name and an annotation")
            default = ... if parameter.default is parameter.empty else parameter.default
            about = pydantic.Field(default, alias=parameter.name, description=notes.get(parameter.name))
            fields[f"argument_{number}"] = (hints[parameter.name], about)
        config = pydantic.ConfigDict(strict=True, extra="forbid", arbitrary_types_allowed=False)
        self._model: type[pydantic.BaseModel] = pydantic.create_model(self.name, __config__=config, **fields)

    @functools.cached_property
    def schema(self) -> dict[str, Any]:
        """The tool in the form that chat templates and OpenAI's protocol take."""
        parameters = _untitled(self._model.model_json_schema())
        parameters.setdefault("required", [])
        about = {"name": self.name, "description": self.description, "parameters": parameters}
        return {"type": "function", "function": about}

    def complaint(self, arguments: Mapping[str, Any]) -> str | None:
        """Return what is wrong with arguments, or None; a number is no text, nor the other way."""
        try:
            self._model.model_validate(arguments)
        except pydantic.ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            known = ", ".join(self.schema["function"]["parameters"].get("properties", {})) or "none"
            if first["type"] == "missing":
                return f"{self.name}: argument {where!r} is missing; it takes {known}"
            if first["type"] == "extra_forbidden":
                return f"{self.name} takes no argument {_short(where)!r}; it takes {known}"
            said = first["msg"][0].lower() + first["msg"][1:]
            return f"{self.name}: argument {where!r}: {said}, got {_short(repr(first['input']))}"
        return None

    def call(self, arguments: Mapping[str, Any], *owner: Any) -> ToolResult:
        """Return what the function answers; arguments that do not fit and ToolError are answers that begin "Error: ".

        Any other exception of the function is raised: that is a fault of the tool and not of its caller.
        """
        complaint = self.complaint(arguments)
        if complaint is not None:
            return ToolResult(f"Error: {complaint}", True)
        try:
            answer = self.function(*owner, **arguments)  # as they were given: validation would turn 5 into 5.0
        except ToolError as error:
            return ToolResult(f"Error: {error}", True)
        return ToolResult(answer if isinstance(answer, str) else "" if answer is None else json.dumps(answer))


def tools_of(owner: type) -> dict[str, Tool]:
    """Return the public methods of a class as tools, by name; the class's own follow those that it inherits."""
    if owner not in _TOOLS:
        _TOOLS[owner] = _find_tools(owner)
    return _TOOLS[owner]


def _find_tools(owner: type) -> dict[str, Tool]:
    names = {name: None for base in reversed(owner.__mro__) for name in vars(base) if not name.startswith("_")}
    return {name: Tool(getattr(owner, name)) for name in names if inspect.isfunction(getattr(owner, name))}


def _docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Return a docstring's description and its notes on the arguments (Google's style)."""
    text = inspect.getdoc(function)
    if not text:
        raise ConfigError(f"tool {function.__name__} has no docstring: the agent could not know what it does")
    description, _, rest = text.partition("\nArgs:\n")
    notes: dict[str, str] = {}
    name = ""
    for line in rest.splitlines():
        if not line.startswith(" "):
            break
        found = _ARGUMENT.match(line.strip()) if not line.startswith("    ") else None
        name = found[1] if found else name
        notes[name] = found[2] if found else f"{notes.get(name, '')} {line.strip()}".strip()
    return " ".join(description.split()), notes


def _untitled(schema: Any) -> Any:
    """Return a JSON schema without the titles that pydantic makes up, keeping arguments called `title`."""
    if isinstance(schema, dict):
        return {
            key: {name: _untitled(value) for name, value in item.items()} if key == "properties" else _untitled(item)
            for key, item in schema.items()
            if key != "title"
        }
    return [_untitled(item) for item in schema] if isinstance(schema, list) else schema
