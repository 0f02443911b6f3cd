import io
from collections.abc import Callable

import pytest
from rich.console import Console

from agentrl.env import Outcome, TextEnv
from agentrl.play import play
from tests.contract import toy

Session = Callable[..., tuple[Outcome | None, str]]


@pytest.fixture
def session() -> Session:
    def run(*lines: str, env: TextEnv | None = None) -> tuple[Outcome | None, str]:
        """Play the toy world with these lines; return the outcome and all that was printed."""
        screen, typed = io.StringIO(), iter(lines)

        def read(prompt: str) -> str:
            try:
                return next(typed)
            except StopIteration:
                raise EOFError from None

        console = Console(file=screen, width=200)
        outcome = play(env or toy.Line(max_turns=6), task="train/0", seed=0, console=console, read=read)
        return outcome, screen.getvalue()

    return run


def plan() -> list[str]:
    env = toy.Line()
    env.reset(seed=0, options={"task": "train/0"})
    return env.solution()


def test_a_game_that_is_won(session: Session) -> None:
    outcome, screen = session(*plan())
    assert outcome is Outcome.SUCCESS
    assert screen.endswith(f"There!\nreward 1\nsuccess: task solved; {len(plan())} turns\n")


def test_actions_are_listed_and_can_be_given_by_number(session: Session) -> None:
    numbers = {"left": "1", "right": "2"}
    outcome, screen = session(*[numbers[action] for action in plan()])
    assert outcome is Outcome.SUCCESS
    assert "  1 left\n  2 right\n" in screen


def test_nonsense_is_answered(session: Session) -> None:
    _, screen = session("[bold]dance[/]", "3", "0")
    assert screen.count("What?") == screen.count("not a valid action here") == 3


def test_turns_run_out(session: Session) -> None:
    outcome, screen = session(*["wait"] * 6)
    assert outcome is Outcome.TRUNCATED
    assert screen.endswith("truncated: turn limit of 6 reached; 6 turns\n")


def test_undo_goes_back(session: Session) -> None:
    env = toy.Line()
    _, screen = session(plan()[0], ":undo", ":undo", env=env)
    places = [line for line in screen.splitlines() if line.startswith("You are at")]
    assert len(places) == 3
    assert places[0] == places[2] != places[1]
    assert "nothing to undo" in screen
    assert env.turn == 0


def test_nothing_can_be_undone_where_there_are_no_snapshots(session: Session) -> None:
    assert "nothing to undo" in session("left", ":undo", env=toy.Unbranched())[1]


def test_the_solution_is_shown_and_not_played(session: Session) -> None:
    env = toy.Line()
    assert ", then ".join(plan()) in session(":solution", env=env)[1]
    assert env.turn == 0
    assert "knows no solution" in session(":solution", env=toy.Unsolved())[1]


def test_help_and_unknown_commands(session: Session) -> None:
    assert session(":help")[1].count(":undo, :solution, :help, :quit") == 2
    assert "no command :jump" in session(":jump")[1]


@pytest.mark.parametrize("lines", [[":quit"], []], ids=["quit", "end of input"])
def test_leaving(session: Session, lines: list[str]) -> None:
    outcome, screen = session(*lines)
    assert outcome is None
    assert screen.endswith("left\n")
