"""What an environment itself measures of an episode: its score and its own numbers."""

from collections.abc import Iterable

import numpy as np

from agentrl.types import Trajectory

Numbers = dict[str, float]


def own_numbers(trajectory: Trajectory) -> Numbers:
    """Return the last score, and ``env/NAME`` for each of the environment's own numbers."""
    own = trajectory.extra.get("metrics", {})
    return {"score": trajectory.score} | {f"env/{name}": value for name, value in own.items()}


def means_of(parts: Iterable[Iterable[Numbers]]) -> Numbers:
    """Return the mean of each number over the episodes that have it; ``parts`` are those of each process.

    >>> means_of([[{"score": 1.0}, {"score": 0.0, "env/steps": 3.0}], [{"score": 0.5}]])
    {'score': 0.5, 'env/steps': 3.0}
    """
    values: dict[str, list[float]] = {}
    for numbers in (one for part in parts for one in part):
        for name, value in numbers.items():
            values.setdefault(name, []).append(value)
    return {name: float(np.mean(own)) for name, own in values.items()}
