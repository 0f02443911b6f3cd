"""Small training samples."""

from collections.abc import Sequence

import numpy as np

from agentrl import seeding
from agentrl.types import TokenSequence, Trajectory, Turn
from agentrl.update.batch import Sample, spread
from tests.agentrl.engines.tiny import VOCAB_SIZE

NAN = float("nan")


def sequence(turns: Sequence[int], *, seed: int = 0) -> TokenSequence:
    """Return a sequence whose token l was sampled by ``turns[l]``, or by nobody if that is -1."""
    turns_L = np.array(turns, np.int32)
    sampled_L = turns_L >= 0
    rng = seeding.generator(seed, "sequence")
    return TokenSequence(
        ids_L=rng.integers(VOCAB_SIZE, size=len(turns)).astype(np.int32),
        action_mask_L=sampled_L,
        behavior_logprobs_L=np.where(sampled_L, -rng.random(len(turns)), 0).astype(np.float32),
        entropies_L=np.where(sampled_L, rng.random(len(turns)), 0).astype(np.float32),
        turns_L=turns_L,
    )


def trajectory(*sequences: TokenSequence, name: str = "t") -> Trajectory:
    """Return a trajectory of such sequences."""
    count = 1 + max(int(one.turns_L.max()) for one in sequences)
    turns = [Turn(t, f"observation {t}", "act", "act", True, 0.0, f"anchor {t}") for t in range(count)]
    return Trajectory(name, "group", "task", 0, turns, list(sequences))


def samples(*advantages: Sequence[float]) -> list[Sample]:
    """Return a sample per list of advantages, with three prompt tokens and two sampled ones for each turn."""
    played = [
        trajectory(sequence([-1, -1, -1, *(t for t in range(len(row)) for _ in range(2))], seed=number))
        for number, row in enumerate(advantages)
    ]
    return spread(played, np.array([value for row in advantages for value in row]))
