"""A world of one line, right in every law, and its broken sisters, each wrong in one."""

import os
import random
import sys
import threading
import time
from collections.abc import Hashable
from typing import Any, ClassVar

import numpy as np
import torch

from agentrl import Snapshot, SnapshotLevel, TaskRef, TextEnv, TurnResult, advance, finish
from agentrl.env import Expert
from agentrl.tasks import DrawnTasks, TaskSet


class Line(TextEnv):
    """Walk along the numbers from a random place to the goal; the task is the goal."""

    def __init__(self, tasks: TaskSet[int] | None = None, **options: Any) -> None:
        drawn = DrawnTasks(lambda rng: int(rng.integers(10, 1000)), {"train": 20, "valid": 20})
        super().__init__(tasks or drawn, **options)

    def _start(self, task: TaskRef, rng: np.random.Generator) -> str:
        self.goal = self.tasks.load(task.id)
        self.at = self.goal + int(rng.choice([-3, -2, 2, 3]))
        return self._look()

    def _look(self) -> str:
        return f"You are at {self.at}, the goal is {self.goal}."

    def _advance(self, action: str) -> TurnResult:
        if action not in ("left", "right"):
            return advance("What?", action_valid=False)
        self.at += 1 if action == "right" else -1
        if self.at == self.goal:
            return finish("There!", reward=1.0, success=True)
        return advance(self._look())

    def _anchor_key(self) -> Hashable:
        return self.goal, self.at

    def _admissible_actions(self) -> list[str] | None:
        return ["left", "right"]

    def _get_state(self) -> Any:
        return self.goal, self.at

    def _set_state(self, state: Any) -> None:
        self.goal, self.at = state

    def _solve(self) -> list[str]:
        return ["right" if self.at < self.goal else "left"] * abs(self.goal - self.at)


class Replayed(Line):
    snapshot_level = SnapshotLevel.REPLAY
    _get_state = _set_state = None  # type: ignore[assignment]


class Unbranched(Line):
    snapshot_level = SnapshotLevel.NONE


class Unlisted(Line):
    def _admissible_actions(self) -> list[str] | None:
        return None


class Cliff(Line):
    """Beyond the start lies a fall, from which there is no way back; and one may give up anywhere."""

    def _advance(self, action: str) -> TurnResult:
        if action == "give up":
            return finish("So be it.", reward=0.0, success=False)
        if self._has_fallen:
            return advance("You lie at the bottom.", action_valid=action in ("left", "right"))
        return super()._advance(action)

    @property
    def _has_fallen(self) -> bool:
        return self.at > self.goal + 3

    def _admissible_actions(self) -> list[str] | None:
        return ["left", "right", "give up"]

    def _solve(self) -> list[str] | None:
        return None if self._has_fallen else super()._solve()


# -- broken: one episode ---------------------------------------------------------------------------------------------


class OutcomeAtReset(Line):
    def reset(self, **arguments: Any) -> tuple[str, dict[str, Any]]:
        observation, info = super().reset(**arguments)
        return observation, {**info, "outcome": "truncated"}


class IntegerReward(Line):
    def _advance(self, action: str) -> TurnResult:
        return TurnResult(super()._advance(action).observation, reward=0)


class ScoreOfTwo(Line):
    def _advance(self, action: str) -> TurnResult:
        return advance("Well done!", score=2.0)


class ListedTwice(Line):
    def _admissible_actions(self) -> list[str]:
        return ["left", "right", "left"]


class AnswersTwice(Line):
    def _answer(self) -> str:
        return f"answer {self.turn}"


class AnswersNothing(Line):
    def _answer(self) -> str:
        return ""


class ChokesOnEmpty(Line):
    def _advance(self, action: str) -> TurnResult:
        return super()._advance(action.split()[0])


class SwallowsNonsense(Line):
    def _advance(self, action: str) -> TurnResult:
        return super()._advance(action if action == "left" else "right")


class ListsTheImpossible(Line):
    def _admissible_actions(self) -> list[str]:
        return ["left", "right", "fly"]


class NeverEnds(Line):
    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        self._ended = False
        return super().step(action)


class NonsenseIsFree(Line):
    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        answer = super().step(action)
        self.turn -= not answer[4]["action_valid"]
        return answer


class TruncatesTheWinner(Line):
    def step(self, action: str) -> tuple[str, float, bool, bool, dict[str, Any]]:
        *answer, terminated, truncated, info = super().step(action)
        truncated = self.turn == self.max_turns
        return (*answer, terminated and not truncated, truncated, info)  # type: ignore[return-value]


class Invisible(Line):
    def render(self) -> str | None:
        return None


# -- broken: determinism ---------------------------------------------------------------------------------------------


class Remembers(Line):
    resets = 0

    def _look(self) -> str:
        return f"{super()._look()} This is game {self.resets}."

    def _start(self, task: TaskRef, rng: np.random.Generator) -> str:
        self.resets += 1
        return super()._start(task, rng)


class HashOrder(Line):
    def _look(self) -> str:
        return f"{super()._look()} {hash('a string')}"


class SharedState(Line):
    place: ClassVar[dict[str, int]] = {}

    @property  # type: ignore[override]
    def at(self) -> int:
        return self.place["at"]

    @at.setter
    def at(self, value: int) -> None:
        self.place["at"] = value


class ReadsGlobalRng(Line):
    def _look(self) -> str:
        state = random.getstate()
        number = random.random()
        random.setstate(state)
        return f"{super()._look()} The wind is {number}."


class SeedsGlobalRng(Line):
    def _start(self, task: TaskRef, rng: np.random.Generator) -> str:
        np.random.seed(0)  # noqa: NPY002
        return super()._start(task, rng)


class AlwaysTheFirst(Line):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        return super().reset(seed=seed, options=options or {"task": self.tasks.ids(self.split)[0]})


# -- broken: keys and snapshots --------------------------------------------------------------------------------------


class Address:
    """Equal to all its kind, and told apart by its address."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Address)

    def __hash__(self) -> int:
        return 0


class KeyWithAddress(Line):
    def _anchor_key(self) -> Hashable:
        return Address()


class UnhashableKey(Line):
    def _anchor_key(self) -> Hashable:
        return [self.at]  # type: ignore[return-value]


class CoarseKey(Line):
    def _anchor_key(self) -> Hashable:
        return self.goal, self.at // 2


class KeyWithClock(Line):
    def _anchor_key(self) -> Hashable:
        return self.goal, self.at, self.turn


class RestoresAnything(Line):
    def restore(self, snapshot: Snapshot) -> None:
        self.task, self._ended = self.tasks.ref(snapshot.task_id), snapshot.ended
        self._set_state(snapshot.state[0])


class Forgets(Line):
    def _get_state(self) -> Any:
        return self.goal, self.goal + 3


class LiveState(Line):
    """Its snapshot is its state itself, not a copy."""

    def _start(self, task: TaskRef, rng: np.random.Generator) -> str:
        self.trail: list[str] = []
        return super()._start(task, rng)

    def _look(self) -> str:
        return f"{super()._look()} Your steps: {self.trail}"

    def _advance(self, action: str) -> TurnResult:
        self.trail.append(action[:5])
        return super()._advance(action)

    def _get_state(self) -> Any:
        return self.goal, self.at, self.trail

    def _set_state(self, state: Any) -> None:
        self.goal, self.at, self.trail = state


class StateInDrawer(Line):
    drawer: ClassVar[list[Any]] = []

    def _get_state(self) -> Any:
        self.drawer.append(super()._get_state())
        return len(self.drawer) - 1

    def _set_state(self, state: Any) -> None:
        super()._set_state(self.drawer[state])


class RevivesTheDead(Line):
    def restore(self, snapshot: Snapshot) -> None:
        super().restore(snapshot)
        self._ended = False


class ForkIsSelf(Line):
    def fork(self) -> "ForkIsSelf":
        return self


# -- broken: tasks and solutions -------------------------------------------------------------------------------------


class FewGoals(TaskSet[int]):
    """Tasks whose names end in their content."""

    def __init__(self, **splits: list[str]) -> None:
        self.by_split = splits

    @property
    def splits(self) -> dict[str, list[str]]:
        return self.by_split

    def load(self, task_id: str) -> int:
        return int(task_id.split("-")[1])

    def ref(self, task_id: str) -> TaskRef:
        split = next(split for split, ids in self.by_split.items() if task_id in ids)
        return TaskRef(task_id, split, task_id.split("-")[1])


class EmptySplit(Line):
    def __init__(self) -> None:
        super().__init__(FewGoals(train=["a-1"], valid=[]))


class Overlap(Line):
    def __init__(self) -> None:
        super().__init__(FewGoals(train=["a-1", "a-2"], valid=["b-3", "b-2"]))


class StopIterationForUnknown(Line):
    def __init__(self) -> None:
        super().__init__(FewGoals(train=["a-1"], valid=["b-3"]))


class MisplacedTask(Line):
    def __init__(self) -> None:
        super().__init__(FewGoals(train=["a-1"], valid=["a-1"]))


class IgnoresTheTask(Line):
    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, dict[str, Any]]:
        return super().reset(seed=seed)


class WrongWay(Line):
    def _solve(self) -> list[str]:
        return ["left" if self.at < self.goal else "right"]


class Detour(Line):
    def _solve(self) -> list[str]:
        return ["look", *super()._solve()]


class SolvesTheStartOnly(Line):
    def _start(self, task: TaskRef, rng: np.random.Generator) -> str:
        observation = super()._start(task, rng)
        self.plan = super()._solve()
        return observation

    def _solve(self) -> list[str]:
        return self.plan


class Despairs(Line):
    def _solve(self) -> list[str] | None:
        return None if abs(self.goal - self.at) > 1 else super()._solve()


class Hopeless(Line):
    def _solve(self) -> list[str] | None:
        return []


class SolvesInPlace(Line):
    def _solve(self) -> list[str] | None:
        plan, self.at = super()._solve(), self.goal - 1
        return plan


class Unsolved(Line):
    def _solve(self) -> list[str]:
        raise NotImplementedError


class Speechless(Line):
    def expert(self, rng: np.random.Generator) -> Expert:
        return lambda observation, info: None  # type: ignore[return-value,arg-type]


# -- broken: manners -------------------------------------------------------------------------------------------------


class HalfACharacter(Line):
    def _look(self) -> str:
        return super()._look() + "\ud83d"


class Flood(Line):
    def _look(self) -> str:
        return super()._look() + "." * 2_000_000


class MovesAway(Line):
    def _start(self, *args: Any) -> str:
        os.chdir("/")
        return super()._start(*args)


class TurnsGradientsOff(Line):
    def _start(self, *args: Any) -> str:
        torch.set_grad_enabled(False)
        return super()._start(*args)


class LeavesFilesOpen(Line):
    def __init__(self) -> None:
        super().__init__()
        self.descriptor = os.dup(2)


class LeavesAThread(Line):
    def __init__(self) -> None:
        super().__init__()
        threading.Thread(target=time.sleep, args=(5,), daemon=True).start()


class Hoards(Line):
    hoard: ClassVar[list[bytes]] = []

    def _start(self, *args: Any) -> str:
        self.hoard.append(bytes(100_000))
        return super()._start(*args)


class Hangs(Line):
    def _advance(self, action: str) -> TurnResult:
        time.sleep(60)
        return super()._advance(action)


class Exits(Line):
    def _advance(self, action: str) -> TurnResult:
        sys.exit(0)
