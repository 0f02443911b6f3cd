"""Laws of manners: what an environment shows can be written down, and it leaves the process as it found it."""

import gc
import os
import signal
import sys
import threading
import tracemalloc
from contextlib import suppress
from typing import Any

from agentrl.hosts import EnvFault
from agentrl.hosts.answers import checked_answer, checked_beginning
from agentrl.testing.case import Case, ContractError, Episode, law

ROUNDS = 3
MOST_GROWTH = 100_000
"""Bytes by which a round of the same episodes may add to what Python holds."""


@law
def check_text(case: Case) -> None:
    """What it shows is text that can be written to a file, of at most a million characters, and rewards are finite."""
    for episode in case.episodes():
        try:
            checked_beginning(case.env.reset(seed=episode.seed, options=episode.options))
            for _ in range(case.turns):
                answer = checked_answer(case.env.step(episode.draw_action(episode.rng)))
                if answer[2] or answer[3]:
                    break
        except EnvFault as fault:
            raise ContractError(f"{fault.text}.\n  To see it: {episode.script()}") from None


@law
def check_surroundings(case: Case) -> None:
    """Episodes leave the process as they found it: folder, environment, signals, limits, and torch's gradients."""
    env = case.factory()
    for seed, options in case.starts():
        before = _surroundings()
        try:
            Episode(env, seed, options).wander(case.turns)
            after = _surroundings()
        finally:
            _restore(before)
        for name, value in before.items():
            if after[name] != value:
                raise ContractError(f"An episode with seed {seed} changed {name}: {value!r} became {after[name]!r}.")
    env.close()


@law
def check_leaks(case: Case) -> None:
    """Environments that were closed leave nothing behind: no descriptors, threads, processes or growing memory."""
    _play_and_close(case)
    before, grown = _belongings(), []
    tracemalloc.start()
    try:
        for _ in range(ROUNDS):
            gc.collect()
            held = tracemalloc.get_traced_memory()[0]
            _play_and_close(case)
            gc.collect()
            grown.append(tracemalloc.get_traced_memory()[0] - held)
    finally:
        tracemalloc.stop()
    episodes = len(case.starts())
    for name, count in _belongings().items():
        if count - before[name] >= ROUNDS:
            raise ContractError(f"{ROUNDS} rounds of {episodes} episodes left {count - before[name]} more {name} open.")
    if min(grown) > MOST_GROWTH:
        raise ContractError(
            f"Each of {ROUNDS} rounds of the same {episodes} episodes kept {min(grown):,} bytes or more."
        )


def _play_and_close(case: Case) -> None:
    env = case.factory()
    for episode in case.episodes(env):
        episode.wander(case.turns)
    env.close()


def _surroundings() -> dict[str, Any]:
    torch = sys.modules.get("torch")
    return {
        "the working directory": os.getcwd(),
        "environment variables": {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")},
        "the handlers of signals": {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)},
        "the recursion limit": sys.getrecursionlimit(),
        "garbage collection": gc.isenabled(),
        "torch's gradients": torch.is_grad_enabled() if torch is not None else True,
    }


def _restore(before: dict[str, Any]) -> None:
    os.chdir(before["the working directory"])
    for name in set(os.environ) - set(before["environment variables"]):
        if not name.startswith("PYTEST"):
            del os.environ[name]
    os.environ.update(before["environment variables"])
    for signum, handler in before["the handlers of signals"].items():
        with suppress(ValueError, TypeError):  # of another thread, or not of Python
            signal.signal(signum, handler)
    sys.setrecursionlimit(before["the recursion limit"])
    (gc.enable if before["garbage collection"] else gc.disable)()
    if "torch" in sys.modules:
        sys.modules["torch"].set_grad_enabled(before["torch's gradients"])


def _belongings() -> dict[str, int]:
    """Count what is open; what the system does not tell counts as none."""
    counts = {"threads": threading.active_count()}
    with suppress(OSError):
        counts["descriptors"] = len(os.listdir("/proc/self/fd"))
    with suppress(OSError):
        children = 0
        for task in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{task}/children", "rb") as file:
                children += len(file.read().split())
        counts["processes"] = children
    return counts
