"""Small branched trajectories, made by hand and at random."""

import random

import numpy as np

from agentrl.types import BranchPoint, TokenSequence, Trajectory, Turn


def path(name: str, actions: str, parent: str | None = None, at: int = 0) -> Trajectory:
    """A trajectory of one turn and two tokens (fed 0, sampled the letter) per action; states are turn numbers."""
    turns = [Turn(t, "seen", a, a, True, 0.0, f"{t}", num_tokens=1) for t, a in enumerate(actions)]
    ids = np.array([number for a in actions for number in (0, ord(a))], np.int32)
    noise = np.zeros(len(ids), np.float32)
    sequence = TokenSequence(ids, ids > 0, noise, noise, np.repeat(np.arange(len(actions), dtype=np.int32), 2))
    branch = BranchPoint(parent, at) if parent else None
    return Trajectory(name, "g", "task", 0, turns, [sequence], parent=branch)


def family() -> list[Trajectory]:
    """A root, a branch of it at turn 2, a branch of that at turn 3, another of the root at turn 1, and a lone root."""
    return [
        path("root", "abcd"),
        path("child", "abef", "root", 2),
        path("grandchild", "abeg", "child", 3),
        path("early", "ah", "root", 1),
        path("lone", "ab"),
    ]


def random_forest(seed: int, size: int = 30) -> list[Trajectory]:
    """Turns get letters of their own when they are played, so that the distinct letters are the played turns."""
    rng, fresh, trees = random.Random(seed), map(chr, range(0x4E00, 0x9000)), list[Trajectory]()
    for number in range(size):
        parent = rng.choice([None, *trees])
        at = rng.randint(0, len(parent.turns)) if parent is not None else 0
        kept = "".join(turn.action for turn in parent.turns[:at]) if parent is not None else ""
        own = "".join(next(fresh) for _ in range(rng.randint(0, 3)))
        trees.append(path(str(number), kept + own, parent and parent.id, at))
    return trees
