"""What environments do instead of answering: every way that was thought of, and what is to become of it."""

import asyncio
import ctypes
import gc
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from agentrl.env import Snapshot
from agentrl.errors import OrderError
from agentrl.tasks import TaskRef, TaskSet
from tests.agentrl.rollout.corridor import Corridor

ALL = ("inline", "threads", "processes")
ALONE = ("processes",)
"""Where it is contained: what ends a process, or what no thread is told, only in one of its own."""


@dataclass(frozen=True)
class Deed:
    """A misbehaviour.

    Attributes:
      act: given what the call would have answered, does it, and returns an answer if it comes to that.
      reason: what the fault says (a regular expression); None where nothing is wrong with the answer.
      place: the call in which it is done.
      hosts: that contain it.
      outcome: of the episode.
    """

    act: Callable[[Any], Any]
    reason: str | None
    place: str = "step"
    hosts: Sequence[str] = ALL
    outcome: str = "env_error"


# -- answers ---------------------------------------------------------------------------------------------------------


def seen(observation: Any) -> Callable[[Any], Any]:
    return lambda answer: (observation, *answer[1:])


def paid(reward: Any) -> Callable[[Any], Any]:
    return lambda answer: (answer[0], reward, *answer[2:])


def told(**changes: Any) -> Callable[[Any], Any]:
    return lambda answer: (*answer[:-1], {**answer[-1], **changes})


def untold(key: str) -> Callable[[Any], Any]:
    return lambda answer: (*answer[:-1], {name: value for name, value in answer[-1].items() if name != key})


def instead(answer: Any) -> Callable[[Any], Any]:
    return lambda right: answer


class Odd:
    """An object that raises whatever it is asked."""

    def __hash__(self) -> int:
        raise RuntimeError("no hash")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")

    def __float__(self) -> float:
        raise RuntimeError("no float")

    def __bool__(self) -> bool:
        raise RuntimeError("no bool")


ANSWERS = {
    "observation None": Deed(seen(None), "the observation is None, not a string"),
    "observation bytes": Deed(seen(b"You see"), "the observation is bytes, not a string"),
    "observation list": Deed(seen(["You see"]), "the observation is list, not a string"),
    "observation number": Deed(seen(7), r"the observation is 7 \(int\), not a string"),
    "observation array": Deed(seen(np.zeros(3)), "the observation is ndarray, not a string"),
    "observation odd": Deed(seen(Odd()), "the observation is Odd, not a string"),
    "observation lone surrogate": Deed(seen("a\ud800b"), r"holds '\\ud800' at character 1, half of a surrogate pair"),
    "observation 10 MB": Deed(seen("x" * 10_000_000), "the observation has 10,000,000 characters, at most 1,000,000"),
    "first observation None": Deed(seen(None), "the observation is None", "reset"),
    "first observation lone surrogate": Deed(seen("\udfff"), "half of a surrogate pair", "reset"),
    "first observation 10 MB": Deed(seen("x" * 10_000_000), "10,000,000 characters", "reset"),
    "observation control characters": Deed(seen("\x00\x1b[2J\u202e"), None),
    "observation empty": Deed(seen(""), None),
    "observation numpy string": Deed(seen(np.str_("You see")), None),
    "reward NaN": Deed(paid(float("nan")), "a reward of nan, which is not finite"),
    "reward infinite": Deed(paid(float("inf")), "a reward of inf, which is not finite"),
    "reward minus infinite": Deed(paid(float("-inf")), "a reward of -inf"),
    "reward text": Deed(paid("1.0"), r"a reward of '1.0' \(str\), not a number"),
    "reward bytes": Deed(paid(b"1"), "a reward of bytes, not a number"),
    "reward complex": Deed(paid(1j), r"a reward of 1j \(complex\), not a number"),
    "reward None": Deed(paid(None), "a reward of None, not a number"),
    "reward list": Deed(paid([1.0]), "a reward of list, not a number"),
    "reward too large": Deed(paid(10**400), "not a number"),
    "reward array": Deed(paid(np.zeros(3)), "a reward of ndarray, not a number"),
    "reward odd": Deed(paid(Odd()), "no float"),
    "reward numpy": Deed(paid(np.float32(0.5)), None),
    "reward bool": Deed(paid(True), None),
    "terminated array": Deed(lambda answer: (*answer[:2], np.zeros(3), *answer[3:]), "ambiguous"),
    "terminated odd": Deed(lambda answer: (*answer[:2], Odd(), *answer[3:]), "no bool"),
    "info None": Deed(lambda answer: (*answer[:4], None), "info is None, not a dict"),
    "info list": Deed(lambda answer: (*answer[:4], []), "info is list, not a dict"),
    "no key": Deed(untold("anchor_key"), "info lacks 'anchor_key'"),
    "no score": Deed(untold("score"), "info lacks 'score'"),
    "no success": Deed(untold("success"), "info lacks 'success'"),
    "no key at first": Deed(untold("anchor_key"), "info lacks 'anchor_key'", "reset"),
    "key list": Deed(told(anchor_key=[1]), "cannot be hashed: unhashable type: 'list'"),
    "key dict": Deed(told(anchor_key={}), "cannot be hashed: unhashable type: 'dict'"),
    "key set": Deed(told(anchor_key={1}), "cannot be hashed: unhashable type: 'set'"),
    "key nested": Deed(told(anchor_key=(1, [2])), "cannot be hashed"),
    "key odd": Deed(told(anchor_key=Odd()), "no hash"),
    "score NaN": Deed(told(score=float("nan")), "a score of nan"),
    "score text": Deed(told(score="high"), "a score of 'high'"),
    "actions numbers": Deed(told(admissible_actions=[1, 2]), "admissible_actions'] is no list of strings"),
    "actions one number": Deed(told(admissible_actions=7), "admissible_actions'] is no list of strings"),
    "actions lone surrogate": Deed(told(admissible_actions=["\ud800"]), "no list of strings"),
    "outcome unknown": Deed(
        lambda answer: (*answer[:2], True, False, {**answer[4], "outcome": "won", "outcome_reason": ""}),
        r"info\['outcome'\] is 'won' \(str\), not an Outcome",
    ),
    "outcome missing": Deed(lambda answer: (*answer[:2], True, *answer[3:]), "info lacks 'outcome', 'outcome_reason'"),
    "step None": Deed(instead(None), "step returned None, not"),
    "step four": Deed(lambda answer: answer[:4], "step returned tuple, not"),
    "step list": Deed(list, "step returned list, not"),
    "step generator": Deed(iter, "step returned tuple_iterator, not"),
    "reset text": Deed(instead("hello"), r"reset returned 'hello' \(str\), not", "reset"),
    "reset five": Deed(instead(("", 0.0, False, False, {})), "reset returned tuple, not", "reset"),
    "snapshot None": Deed(instead(None), "snapshot returned a NoneType", "snapshot"),
    "solution number": Deed(instead(7), "not iterable", "solution"),
    "solution of numbers": Deed(instead([7]), "action is 7", "solution"),
    "info that cannot be sent": Deed(told(lock=threading.Lock()), "cannot pickle", hosts=ALONE),
}

# -- exceptions ------------------------------------------------------------------------------------------------------


def raising(error: Callable[[], BaseException]) -> Callable[[Any], Any]:
    def act(answer: Any) -> Any:
        raise error()

    return act


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Stranger(BaseException):
    pass


class Unsendable(Exception):
    def __init__(self) -> None:
        super().__init__("cannot travel")
        self.lock = threading.Lock()


def recurse(answer: Any) -> Any:
    return recurse(answer)


def exit_now(answer: Any) -> Any:
    sys.exit(0)


EXCEPTIONS = {
    "an exception": Deed(raising(lambda: RuntimeError("the floor gave way")), "^RuntimeError: the floor gave way$"),
    "two lines": Deed(raising(lambda: ValueError("one\n\n  two")), "^ValueError: one two$"),
    "no text": Deed(raising(AssertionError), r"^AssertionError: \(no text\)$"),
    "long text": Deed(raising(lambda: ValueError("x" * 10**6)), "^ValueError: x{500}$"),
    "a surrogate": Deed(raising(lambda: ValueError("\ud800")), r"^ValueError: \\ud800$"),
    "no words": Deed(raising(Mute), "^Mute: .no text: RuntimeError"),
    "a base exception": Deed(raising(lambda: Stranger("hm")), "^Stranger: hm$"),
    "unsendable": Deed(raising(Unsendable), "^Unsendable: cannot travel$"),
    "agentrl's own": Deed(raising(lambda: OrderError("not yet")), "not yet"),
    "StopIteration": Deed(raising(StopIteration), "^StopIteration"),
    "StopAsyncIteration": Deed(raising(StopAsyncIteration), "^StopAsyncIteration"),
    "GeneratorExit": Deed(raising(GeneratorExit), "^GeneratorExit"),
    "CancelledError": Deed(raising(asyncio.CancelledError), "^CancelledError"),
    "KeyboardInterrupt": Deed(raising(KeyboardInterrupt), "^KeyboardInterrupt"),
    "MemoryError": Deed(raising(MemoryError), "^MemoryError"),
    "a group": Deed(raising(lambda: ExceptionGroup("two", [ValueError("a"), KeyError("b")])), "^ExceptionGroup: two"),
    "recursion": Deed(recurse, "^RecursionError"),
    "an exception in reset": Deed(raising(lambda: OSError("no port")), "^OSError: no port$", "reset"),
    "an exception in snapshot": Deed(raising(lambda: OSError("no disk")), "^OSError: no disk$", "snapshot"),
    "an exception in close": Deed(raising(lambda: OSError("no way")), None, "close"),
    "no solution": Deed(raising(NotImplementedError), "^NotImplementedError", "solution"),
    "SystemExit": Deed(exit_now, "^SystemExit: 0$"),
    "SystemExit in reset": Deed(exit_now, "^SystemExit: 0$", "reset"),
    "SystemExit in close": Deed(exit_now, None, "close"),
}

# -- endings and hangs -----------------------------------------------------------------------------------------------


def kill(signum: int) -> Callable[[Any], Any]:
    def act(answer: Any) -> Any:
        os.kill(os.getpid(), signum)
        time.sleep(60)

    return act


def crash(answer: Any) -> Any:
    ctypes.string_at(0)


def leave(answer: Any) -> Any:
    os._exit(0)


def leave_by_c(answer: Any) -> Any:
    ctypes.CDLL(None)._exit(0)


def sleep(answer: Any) -> Any:
    time.sleep(60)


def spin(answer: Any) -> Any:
    while True:
        pass


def ignore(answer: Any) -> Any:
    while True:
        try:
            time.sleep(60)
        except BaseException:
            continue


def deadlock(answer: Any) -> Any:
    lock = threading.Lock()
    with lock, lock:
        return answer


def listen(answer: Any) -> Any:
    one, other = socket.socketpair()
    with one, other:
        return one.recv(1)


def wait_for_child(answer: Any) -> Any:
    return subprocess.run(["sleep", "30"], check=True)


def sleep_in_c(answer: Any) -> Any:
    ctypes.PyDLL(None).sleep(60)  # holds the interpreter's lock


HANGING = "^TimeLimit: no answer within"
ENDINGS = {
    "os._exit": Deed(leave, r"os\._exit\(0\)|exit code 0"),
    "os._exit in reset": Deed(leave, r"os\._exit\(0\)|exit code 0", "reset"),
    "exit of C": Deed(leave_by_c, "^HostDied: its process ended with exit code 0$", hosts=ALONE),
    "segfault": Deed(crash, "^HostDied: its process was ended by SIGSEGV$", hosts=ALONE),
    "segfault in close": Deed(crash, None, "close", ALONE),
    "abort": Deed(lambda answer: os.abort(), "^HostDied: its process was ended by SIGABRT$", hosts=ALONE),
    "kill -9": Deed(kill(signal.SIGKILL), "^HostDied: .* SIGKILL$", hosts=ALONE, outcome="infra_lost"),
    "SIGTERM": Deed(kill(signal.SIGTERM), "^HostDied: .* SIGTERM$", hosts=ALONE),
    "sleep": Deed(sleep, HANGING),
    "sleep in reset": Deed(sleep, HANGING, "reset"),
    "sleep in snapshot": Deed(sleep, HANGING, "snapshot"),
    "sleep in solution": Deed(sleep, HANGING, "solution"),
    "sleep in close": Deed(sleep, None, "close"),
    "a loop": Deed(spin, HANGING),
    "deadlock": Deed(deadlock, HANGING),
    "a silent socket": Deed(listen, HANGING),
    "a child that hangs": Deed(wait_for_child, HANGING),
    "sleep that nothing wakes": Deed(ignore, HANGING, hosts=ALONE),
    "sleep in C": Deed(sleep_in_c, HANGING, hosts=ALONE),
}

# -- side effects ----------------------------------------------------------------------------------------------------


def doing(act: Callable[[], object]) -> Callable[[Any], Any]:
    def after(answer: Any) -> Any:
        act()
        return answer

    return after


def fork_a_child() -> None:
    if os.fork() == 0:
        os._exit(0)


def hold(kept: list[Any] = []) -> None:  # noqa: B006  it is to leak
    kept.append(bytearray(10_000_000))


SIDE_EFFECTS = {
    "prints": Deed(doing(lambda: print("hello", file=sys.stderr)), None),
    "writes to the terminal": Deed(doing(lambda: os.write(2, b"hello\n")), None),
    "leaks memory": Deed(doing(hold), None, hosts=ALONE),
    "leaks a descriptor": Deed(doing(lambda: os.dup(2)), None, hosts=ALONE),
    "starts a thread": Deed(doing(lambda: threading.Thread(target=time.sleep, args=(60,), daemon=True).start()), None),
    "leaves a child": Deed(doing(fork_a_child), None, hosts=ALONE),
    "changes the folder": Deed(doing(lambda: os.chdir("/")), None, hosts=ALONE),
    "handles signals": Deed(doing(lambda: signal.signal(signal.SIGTERM, signal.SIG_IGN)), None, hosts=ALONE),
    "turns collection off": Deed(doing(gc.disable), None, hosts=ALONE),
    "changes the environment": Deed(doing(lambda: os.environ.update(HOME="/nowhere")), None, hosts=ALONE),
    "compiles a slow pattern": Deed(doing(lambda: re.match("(a+)+$", "a" * 18 + "b")), None),
    "seeds numpy": Deed(doing(lambda: np.random.seed(0)), None, hosts=ALONE),  # noqa: NPY002
}

DEEDS: dict[str, Deed] = {**ANSWERS, **EXCEPTIONS, **ENDINGS, **SIDE_EFFECTS}


class Names(TaskSet[int]):
    """One task for each deed, and one in which all is well."""

    @property
    def splits(self) -> Mapping[str, Sequence[str]]:
        return {"train": ["fine", *DEEDS]}

    def load(self, task_id: str) -> int:
        return 3

    def ref(self, task_id: str) -> TaskRef:
        return TaskRef(task_id, "train", task_id)


class Mischief(Corridor):
    """A corridor whose task says what it does instead of answering."""

    time_limit_s = 30.0

    def __init__(self, in_reset: str | None = None) -> None:
        super().__init__(max_turns=6)
        self.tasks = Names()
        self._in_reset = in_reset

    def _act(self, place: str, answer: Any) -> Any:
        deed = DEEDS.get(self.task.id if self.task else "")
        return deed.act(answer) if deed is not None and deed.place == place else answer

    def reset(self, **arguments: Any) -> Any:
        if self._in_reset is not None:
            DEEDS[self._in_reset].act(None)
        return self._act("reset", super().reset(**arguments))

    def step(self, action: str) -> Any:
        return self._act("step", super().step(action))

    def snapshot(self) -> Snapshot:
        snapshot: Snapshot = self._act("snapshot", super().snapshot())
        return snapshot

    def solution(self) -> Any:
        return self._act("solution", super().solution())

    def close(self) -> None:
        self._act("close", None)
        super().close()


# Not with agentrl's own function: it is none of the environments that the contract is checked on.
gymnasium.register("tests/Mischief-v0", "tests.agentrl.hosts.deeds:Mischief")


def contained(host: str) -> list[str]:
    """Return the names of what a host contains."""
    return [name for name, deed in DEEDS.items() if host in deed.hosts]
