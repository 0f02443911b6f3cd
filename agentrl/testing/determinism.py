"""Laws of determinism: same seed and same task, same episode, whatever else happens."""

import pickle
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from agentrl.testing.case import Case, Episode, Script, law, replay, require
from agentrl.testing.process import elsewhere


@law
def check_same_seed(case: Case) -> None:
    """Same seed and same task give the same episode, in a new environment and in one that was played before."""
    played = [Episode(case.env, *start).wander(case.turns) for start in case.starts()]
    for episode in reversed(played):  # another order than the first time
        for env, which in ((case.factory(), "a new environment"), (case.env, "an environment played before")):
            again = Episode(env, episode.seed, episode.options).play(episode.actions)
            again.require_same(episode.frames, 0, f"Played again with seed {episode.seed} in {which}")


@law
def check_other_process(case: Case) -> None:
    """Same seed and same task give the same episode in another process, where strings hash differently."""
    episodes = [Episode(case.env, *start).wander(case.turns) for start in case.starts()]
    scripts: list[Script] = [(episode.seed, episode.options, episode.actions) for episode in episodes]
    for episode, frames in zip(episodes, elsewhere(replay, case.factory, scripts), strict=True):
        episode.require_same(frames, 0, "Here against another process with another PYTHONHASHSEED")


@law
def check_independence(case: Case) -> None:
    """Two environments that are played in turn, move by move, are as each is alone."""
    starts, envs = case.starts(), [case.factory() for _ in range(4)]
    for one, other in zip(starts, starts[1:] + starts[:1], strict=True):
        alone = [Episode(env, *start).wander(case.turns) for env, start in zip(envs[:2], (one, other), strict=True)]
        together = [Episode(env, *start) for env, start in zip(envs[2:], (one, other), strict=True)]
        for turn in range(case.turns):
            for solo, episode in zip(alone, together, strict=True):
                episode.play(solo.actions[turn : turn + 1])
        for solo, episode in zip(alone, together, strict=True):
            episode.require_same(solo.frames, 0, "Played in turn with a second environment against alone")


@law
def check_global_rng(case: Case) -> None:
    """No global random generator (`random`, `numpy.random`) is read or written."""
    seed, options = case.starts()[0]
    with _global_rng_restored():
        episodes = []
        for global_seed in (1, 2):
            random.seed(global_seed)
            np.random.seed(global_seed)  # noqa: NPY002  the law is about this very generator
            before = _global_rng()
            episode = Episode(case.factory(), seed, options).wander(case.turns)
            episode.env.solution()
            episode.require(_global_rng() == before, "The episode changed the state of a global random generator.")
            episodes.append(episode)
    episodes[0].require_same(episodes[1].frames, 0, "After random.seed(1), numpy.random.seed(1) against 2 and 2")


def _global_rng() -> bytes:
    return pickle.dumps((random.getstate(), np.random.get_state()))  # noqa: NPY002


@contextmanager
def _global_rng_restored() -> Iterator[None]:
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


@law
def check_seed_draws_task(case: Case) -> None:
    """Without a task the seed draws one from the environment's split, always the same; other seeds draw others."""
    env, other = case.factory(), case.factory()
    drawn = set()
    for seed in range(32):
        for played in (env, other):
            played.reset(seed=seed)
        assert env.task is not None
        require(env.task == other.task, f"reset(seed={seed}) played {env.task} in one and {other.task} in another.")
        require(env.task.split == env.split, f"reset(seed={seed}) played {env.task}, not of the split {env.split!r}.")
        drawn.add(env.task.id)
    size = len(env.tasks.ids(env.split))
    require(size < 2 or len(drawn) > 1, f"32 seeds all played {drawn}, though {env.split!r} has {size} tasks.")
