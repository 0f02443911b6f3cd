"""An environment where it lives: the calls that hosts pass on to it, its answers checked."""

from collections.abc import Callable
from typing import Any, cast

from agentrl.env import Expert, Info, Snapshot, TextEnv
from agentrl.hosts.answers import Answer, Beginning, checked_action, checked_answer, checked_beginning
from agentrl.hosts.faults import bad_answer
from agentrl.hosts.options import Declared


class Resident:
    """One environment and, beside it, the scripted policy that plays it, if one does.

    Args:
      factory: makes the environment, when :meth:`make` is called.
    """

    def __init__(self, factory: Callable[[], TextEnv]) -> None:
        self._factory = factory
        self._env: TextEnv | None = None
        self._script: Expert | None = None
        self._seen: Beginning = ("", {})

    def perform(self, name: str, args: tuple[Any, ...]) -> Any:
        """Make the call of this name."""
        return getattr(self, name)(*args)

    def make(self) -> Declared:
        """Make the environment."""
        env = self._factory()
        if not isinstance(env, TextEnv):
            raise bad_answer(f"the factory made a {type(env).__name__}, which is not a TextEnv")
        self._env = env
        return Declared.by(env)

    @property
    def env(self) -> TextEnv:
        """The environment, after :meth:`make`."""
        assert self._env is not None
        return self._env

    def first_task(self, split: str) -> str | None:
        """Return the first task of a split; None where it is empty."""
        ids = self.env.tasks.ids(split)
        return ids[0] if len(ids) else None

    def reset(self, seed: int, task_id: str) -> Beginning:
        """Begin an episode."""
        self._script = None
        self._seen = checked_beginning(self.env.reset(seed=seed, options={"task": task_id}))
        return self._seen

    def step(self, action: str) -> Answer:
        """Play one turn."""
        answer = checked_answer(self.env.step(action))
        self._seen = answer[0], answer[4]
        return answer

    def snapshot(self) -> Snapshot:
        """Return the point of the episode."""
        snapshot = self.env.snapshot()
        if not isinstance(snapshot, Snapshot):
            raise bad_answer(f"snapshot returned a {type(snapshot).__name__}, not a Snapshot")
        return snapshot

    def restore(self, snapshot: Snapshot) -> None:
        """Go to a point of an episode."""
        self._script = None
        self.env.restore(snapshot)

    def skip_to(self, turn: int) -> None:
        """Count on from ``turn``, in a world whose answers do not depend on what was done."""
        self.env.turn = turn

    def solution(self) -> list[str] | None:
        """Return the environment's plan; None in a dead end."""
        plan = self.env.solution()
        return None if plan is None else [checked_action(action) for action in plan]

    def script(self, make: Callable[..., tuple[Any, Expert]], *args: Any) -> Any:
        """Let ``make(env, *args)`` make a scripted policy; return what it gives beside it."""
        given, self._script = make(self.env, *args)
        return given

    def advise(self) -> str | None:
        """Return what the scripted policy would do now; None where it gives up."""
        assert self._script is not None
        observation, info = self._seen
        action = self._script(observation, cast(Info, info))
        return None if action is None else checked_action(action)

    def close(self) -> None:
        """Close the environment, if there is one."""
        if self._env is not None:
            env, self._env = self._env, None
            env.close()
