"""Laws of snapshots, forks and anchor keys: going back, going two ways, and knowing where one is."""

import dataclasses
import functools
import pickle
from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from agentrl.env import Snapshot, SnapshotLevel
from agentrl.errors import OrderError, SnapshotError
from agentrl.seeding import generator
from agentrl.testing.case import NONSENSE, Case, Episode, follow, law, require, require_raises, resume
from agentrl.testing.process import elsewhere


def _future(episode: Episode, turns: int) -> tuple[int, list[str]]:
    """Play on at random; return how many turns were played before, and the actions of those that followed."""
    since = len(episode.actions)
    episode.wander(turns)
    return since, episode.actions[since:]


@law
def check_snapshot_level(case: Case) -> None:
    """``snapshot`` before ``reset`` raises SnapshotError, as it always does at level `none`; so does a foreign one."""
    env = case.factory()
    require_raises(SnapshotError, env.snapshot, "snapshot() before reset()")
    env.reset(seed=case.starts()[0][0], options=case.starts()[0][1])
    if env.snapshot_level is SnapshotLevel.NONE:
        require_raises(SnapshotError, env.snapshot, "snapshot() at level 'none'")
        return
    snapshot = env.snapshot()
    require(isinstance(snapshot, Snapshot), f"snapshot() returned {snapshot!r}.")
    foreign = dataclasses.replace(snapshot, env_type="AnotherEnv")
    require_raises(SnapshotError, lambda: env.restore(foreign), "restore() of another environment's snapshot")


@law
def check_restore(case: Case) -> None:
    """After ``restore`` the same actions give the same episode, again and again, in this and in a new environment."""
    new = case.factory()
    for episode in case.branching():
        snapshot = episode.wander(case.turns // 2).env.snapshot()
        blob = pickle.dumps(snapshot)
        since, actions = _future(episode, case.turns)
        for env, which in [(episode.env, "the same environment")] * 2 + [(new, "a new environment")] * 2:
            when = f"Restored after turn {since} in {which} (right) against the first time (left)"
            kept = snapshot if env is episode.env else pickle.loads(blob)
            episode.require_same(follow(env, kept, actions), since + 1, when)
            played = len(episode.actions)
            episode.require(env.turn == played, f"{when}: env.turn is {env.turn} against {played}.")


@law
def check_restore_elsewhere(case: Case) -> None:
    """A pickled snapshot restored in another process goes on as it would have here."""
    points, episodes = [], []
    for episode in case.branching():
        blob = pickle.dumps(episode.wander(case.turns // 2).env.snapshot())
        since, actions = _future(episode, case.turns)
        points.append((blob, actions))
        episodes.append((episode, since))
    results = elsewhere(resume, case.factory, points) if points else []
    for (episode, since), frames in zip(episodes, results, strict=True):
        episode.require_same(frames, since + 1, f"Restored after turn {since} in another process against here")


@law
def check_restore_end(case: Case) -> None:
    """A snapshot of an ended episode is ended where it is restored, and one of a running episode runs."""
    new = case.factory()
    for episode in case.branching():
        running = episode.env.snapshot()
        episode.play(episode.env.solution() or [])
        ended = episode.env.snapshot()
        for env in (episode.env, new):
            env.restore(ended)
            require_raises(OrderError, functools.partial(env.step, "look"), "step() in an ended episode, restored,")
            env.restore(running)
            env.step("look")


@law
def check_fork(case: Case) -> None:
    """A fork and its original go on independently, each as if it were alone."""
    lone = case.factory()
    for episode in case.branching():
        snapshot = episode.wander(case.turns // 2).env.snapshot()
        since, waiting, busy = len(episode.actions), episode.fork(), episode.fork()
        busy.rng = generator(episode.seed, "conformance", "fork")
        for _ in range(case.turns):
            episode.wander(1)
            busy.wander(1)
        waiting.play(episode.actions[since:])
        waiting.require_same(episode.frames[since:], since, "A fork that waited against the original that went on")
        for played, name in ((episode, "original"), (busy, "fork")):
            alone = follow(lone, snapshot, played.actions[since:])
            played.require_same(alone, since + 1, f"The {name}, played in turn with the other, against alone")


@dataclass(frozen=True)
class _Visit:
    """A point of an episode, with what the laws of keys compare."""

    key: Hashable
    ending: tuple[bool, bool]
    listed: list[str] | None
    snapshot: Snapshot
    script: str


def _visits(case: Case, first: Episode, walks: int = 4) -> Iterator[_Visit]:
    """Walk several ways from the start of ``first``, without a turn limit, and report every state on the way."""
    env = first.env
    env.max_turns = None
    for walk in range(walks):
        episode = Episode(env, first.seed, first.options)
        episode.rng = generator(first.seed, "conformance", "walk", walk)
        for _ in range(case.turns):
            facts, ending = episode.frames[-1].facts, (episode.ended, bool(episode.frames[-1].facts["success"]))
            yield _Visit(facts["anchor_key"], ending, facts["admissible_actions"], env.snapshot(), episode.script())
            if episode.ended:
                break
            episode.wander(1)


@law
def check_equal_keys(case: Case) -> None:
    """Equal keys mean equal states: the same actions are listed, and the same actions have the same effects."""
    here, there = case.factory(), case.factory()
    here.max_turns = there.max_turns = None
    for first in case.branching():
        seen: dict[Hashable, _Visit] = {}
        for visit in list(_visits(case, first)):
            known = seen.setdefault(visit.key, visit)
            pair = f"\n  One: {known.script}\n  Two: {visit.script}"
            require(visit.listed == known.listed, f"Two states with equal keys list different actions.{pair}")
            require(visit.snapshot.ended == known.snapshot.ended, f"Of two states with equal keys one has ended.{pair}")
            actions = [str(first.rng.choice(visit.listed or NONSENSE)) for _ in range(3)]
            for frames in zip(
                follow(here, known.snapshot, actions), follow(there, visit.snapshot, actions), strict=False
            ):
                differs = frames[0].difference(frames[1])
                require(not differs, f"Equal keys, yet after some of {actions} {differs}.{pair}")


@law
def check_equal_states(case: Case) -> None:
    """Equal states have equal keys: a key holds the state, not the time or the way that led to it."""
    for first in case.branching():
        seen: dict[bytes, _Visit] = {}
        for visit in _visits(case, first):
            if visit.snapshot.level is SnapshotLevel.EXACT:
                known = seen.setdefault(pickle.dumps((visit.snapshot.state[:2], visit.ending)), visit)
                pair = f"\n  One: {known.script}\n  Two: {visit.script}"
                keys = f"{known.key!r} and {visit.key!r}"
                require(known.key == visit.key, f"Two states that are saved alike have the keys {keys}.{pair}")
