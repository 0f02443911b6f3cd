"""Arguments of environments are checked against what their constructors declare, whoever wrote them."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from gymnasium.envs import registration

import agentrl
from agentrl.errors import ConfigError, DataError
from agentrl.making import check_arguments, make
from tests.contract import toy


class Declared:
    def __init__(
        self,
        size: int = 3,
        *,
        rate: float = 0.5,
        quiet: bool = False,
        name: str | None = None,
        kind: Literal["plain", "rich"] = "plain",
        span: tuple[int, int] = (1, 2),
        where: Path | str = ".",
        words: Sequence[str] = (),
        table: dict[str, list[int]] | None = None,
        free: Any = None,
        bare=None,  # type: ignore[no-untyped-def]
    ) -> None: ...


class Heir(Declared):
    def __init__(self, *, depth: int = 0, **rest: Any) -> None: ...


class Undeclared:
    def __init__(self, **options: Any) -> None: ...


class Misdeclared:
    def __init__(self, size: "Nowhere" = 3) -> None: ...  # type: ignore[name-defined]  # noqa: F821


RIGHT: list[dict[str, Any]] = [
    {"size": -7, "rate": 1, "quiet": True, "name": None, "kind": "rich"},
    {"span": [3, 4], "where": "x", "words": ["a"], "table": {"a": [1]}, "free": object(), "bare": {1: 2}},
    {"span": (3, 4), "where": Path("x"), "words": ("a", "b")},
]
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"size": "3"}, "argument size: input should be a valid integer, got '3'"),
    ({"size": 3.0}, "argument size: input should be a valid integer, got 3.0"),
    ({"size": True}, "argument size: input should be a valid integer, got True"),
    ({"size": None}, "argument size: input should be a valid integer, got None"),
    ({"rate": "much"}, "argument rate: input should be a valid number, got 'much'"),
    ({"quiet": 1}, "argument quiet: input should be a valid boolean, got 1"),
    ({"name": 7}, "argument name: input should be a valid string, got 7"),
    ({"kind": "poor"}, "argument kind: input should be 'plain' or 'rich', got 'poor'"),
    ({"span": [1, 2, 3]}, "argument span: "),
    ({"span": ["a", 2]}, "argument span: "),
    ({"words": "red"}, "argument words: "),
    ({"words": [1]}, "argument words: "),
    ({"table": {"a": ["b"]}}, "argument table: "),
    ({"table": {1: 2}}, "argument table: "),
    ({"sise": 3}, "takes no argument 'sise'; did you mean 'size'?"),
    ({"max_episode_steps": 3}, "takes no argument 'max_episode_steps'"),
    ({3: 3}, "takes no argument 3"),  # type: ignore[dict-item]
]


@pytest.mark.parametrize("arguments", RIGHT)
@pytest.mark.parametrize("creator", [Declared, Heir, Undeclared, Declared.__init__])
def test_what_fits_is_taken(creator: Any, arguments: dict[str, Any]) -> None:
    check_arguments("it", creator, arguments)


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[str(arguments) for arguments, _ in WRONG])
def test_what_does_not_fit_is_refused(arguments: dict[str, Any], message: str) -> None:
    for creator in (Declared, Declared.__init__):
        with pytest.raises(ConfigError, match=re.escape(f"it{':' if 'argument ' in message[:9] else ''} {message}")):
            check_arguments("it", creator, arguments)


def test_arguments_that_are_handed_on_are_those_of_the_bases() -> None:
    with pytest.raises(ConfigError, match="argument size: input should be a valid integer"):
        check_arguments("it", Heir, {"size": "3"})
    with pytest.raises(ConfigError, match="argument depth: input should be a valid integer"):
        check_arguments("it", Heir, {"depth": 0.5})
    check_arguments("it", Heir, {"nobody knows": 1})  # it may be for the constructor itself


def test_annotations_that_cannot_be_read_check_nothing() -> None:
    check_arguments("it", Misdeclared, {"size": "large"})
    check_arguments("it", Undeclared, {"size": "large", "other": object()})


# -- making ------------------------------------------------------------------------------------------------------------


class Broken(toy.Line):
    def __init__(self, how: str = "") -> None:
        raise {"stop": SystemError, "": ZeroDivisionError}[how](f"two\nlines {how}")


@pytest.fixture
def broken() -> Iterator[str]:
    agentrl.register("toys/Broken-v0", f"{__name__}:Broken")
    agentrl.register("toys/Lost-v0", "nowhere_at_all:Lost")
    yield "toys/Broken-v0"
    for env_id in ("toys/Broken-v0", "toys/Lost-v0"):
        registration.registry.pop(env_id, None)


@pytest.mark.parametrize(
    ("env_id", "arguments", "message"),
    [
        ("agentrl/Maze-v0", {"sise": 2}, "it takes doors, max_turns, render_mode, size, split, tasks"),
        ("agentrl/Maze-v0", {"doors": "red"}, "argument doors: 'str' instances are not allowed as a Sequence value"),
        ("agentrl/Maze-v0", {"max_turns": 0}, "max_turns is 0, expected at least 1, or None for no limit"),
        ("agentrl/Maze-v0", {"max_turns": 2.5}, "argument max_turns: input should be a valid integer"),
        ("agentrl/Maze-v0", {"render_mode": "rgb_array"}, "render_mode is 'rgb_array', expected None or one of"),
        ("agentrl/Household-v0", {"generator": {"dificulty": 1}}, "generator takes no argument 'dificulty'; did you"),
        ("agentrl/Household-v0", {"generator": {"num_train": "9"}}, "generator: argument num_train: input should be"),
        ("agentrl/Household-v0", {"games": 7}, "argument games: "),
        ("toys/Broken-v0", {}, "toys/Broken-v0 cannot be made: ZeroDivisionError: two lines (test_making.py:"),
        ("toys/Broken-v0", {"how": "stop"}, "toys/Broken-v0 cannot be made: SystemError: two lines stop"),
        ("toys/Lost-v0", {}, "toys/Lost-v0 cannot be made: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("nowhere_at_all:x/Y-v0", {}, "cannot import nowhere_at_all: ModuleNotFoundError"),
        ("a:b:c", {}, "a:b:c: cannot import a:b"),
        (".:x", {}, ".:x: cannot import ."),
        ("", {}, ""),
        ("agentrl/Maze-v9", {}, ""),
        ("agentrl/Mase-v0", {}, "no environment 'agentrl/Mase-v0'; did you mean 'agentrl/Maze-v0'?"),
        ("agentrl Maze", {}, ""),
    ],
)
def test_one_line_whatever_is_asked_for(broken: str, env_id: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make(env_id, **arguments)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_missing_data_stays_missing_data() -> None:
    with pytest.raises(DataError, match="/no/such/games"):
        make("agentrl/Household-v0", games="/no/such/games")
