"""Play an environment by hand, in the terminal or, where it has a site, in the browser."""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

from rich.console import Console
from rich.markup import escape

from agentrl.env import Outcome, Snapshot, SnapshotLevel, TextEnv
from agentrl.tasks import TaskRef

HELP = "type an action, or its number; :undo, :solution, :help, :quit"


@runtime_checkable
class HasSite(Protocol):
    """An environment that people can also play in the browser."""

    def serve(self, *, task: str | None = None, host: str = "127.0.0.1", port: int = 8000) -> None:
        """Serve the site until it is interrupted."""


def play(
    env: TextEnv,
    task: TaskRef | str | None = None,
    seed: int | None = None,
    console: Console | None = None,
    read: Callable[[str], str] = input,
) -> Outcome | None:
    """Let a person play one episode.

    Args:
      env: the environment; it is not closed.
      task: the task to play; drawn by the seed if None.
      seed: seed of the episode; unpredictable if None.
      console: where everything is printed.
      read: asks for a line, given a prompt; `EOFError` and `KeyboardInterrupt` leave the game.

    Returns:
      How the episode ended, or None if the player left.
    """
    table = _Table(env, console or Console())
    table.begin(*env.reset(seed=seed, options=None if task is None else {"task": task}))
    while table.outcome is None:
        try:
            line = read("> ").strip()
        except (EOFError, KeyboardInterrupt):
            line = ":quit"
        if line == ":quit":
            table.say("[dim]left[/]")
            return None
        table.answer(line)
    table.say(f"[bold]{table.outcome}[/]: {escape(table.info['outcome_reason'])}; {env.turn} turns")
    return table.outcome


class _Table:
    """The game on the table: the present view, and the points that ``:undo`` goes back to."""

    def __init__(self, env: TextEnv, console: Console) -> None:
        self.env, self.console = env, console
        self.observation, self.info = "", dict[str, Any]()
        self.past: list[tuple[Snapshot, str, dict[str, Any]]] = []

    @property
    def outcome(self) -> Outcome | None:
        return self.info.get("outcome")

    @property
    def actions(self) -> list[str]:
        return self.info["admissible_actions"] or []

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False)

    def begin(self, observation: str, info: dict[str, Any]) -> None:
        self.observation, self.info = observation, info
        self.say(f"[dim]task {escape(info['task_id'])} — {HELP}[/]")
        self.show()

    def show(self) -> None:
        self.say(f"\n{escape(self.observation)}")
        for number, action in enumerate(self.actions if self.outcome is None else (), start=1):
            self.say(f"[cyan]{number:3d}[/] {escape(action)}")

    def answer(self, line: str) -> None:
        commands = {":undo": self.undo, ":solution": self.hint, ":help": self.help}
        if line in commands:
            commands[line]()
        elif line.startswith(":"):
            self.say(f"[red]no command {escape(line)}[/]: {escape(HELP)}")
        elif line.isdecimal() and 1 <= int(line) <= len(self.actions):
            self.step(self.actions[int(line) - 1])
        else:
            self.step(line)

    def step(self, action: str) -> None:
        if self.env.snapshot_level is not SnapshotLevel.NONE:
            self.past.append((self.env.snapshot(), self.observation, self.info))
        self.observation, reward, _, _, self.info = self.env.step(action)
        self.show()
        if not self.info["action_valid"]:
            self.say("[yellow]not a valid action here[/]")
        if reward:
            self.say(f"[green]reward {reward:g}[/]")

    def undo(self) -> None:
        if not self.past:
            self.say("[yellow]nothing to undo[/]")
            return
        snapshot, self.observation, self.info = self.past.pop()
        self.env.restore(snapshot)
        self.show()

    def help(self) -> None:
        self.say(escape(HELP))

    def hint(self) -> None:
        try:
            plan = self.env.solution()
        except NotImplementedError:
            self.say("[yellow]this environment knows no solution[/]")
            return
        self.say("[magenta]" + escape(", then ".join(plan or ()) or "no way from here") + "[/]")
