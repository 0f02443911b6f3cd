"""Intervals and estimators for reported success rates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agentrl import seeding


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its confidence interval (95 % unless said otherwise)."""

    mean: float
    low: float
    high: float

    def percent(self) -> str:
        """Return ``"81.5 % [76.3, 85.8]"``."""
        return f"{100 * self.mean:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def wilson(successes: int, trials: int, z: float = 1.959964) -> Interval:
    """Wilson score interval of a binomial proportion, for independent trials.

        (p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)

    Without trials it is the whole of [0, 1] around NaN.

    >>> wilson(8, 10).percent()
    '80.0 % [49.0, 94.3]'
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} successes in {trials} trials")
    if trials == 0:
        return Interval(math.nan, 0.0, 1.0)
    p = successes / trials
    centre = p + z * z / (2 * trials)
    spread = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    low, high = max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
    return Interval(p, min(low, p), max(high, p))  # rounding must not leave p outside


def bootstrap_mean(values_P: Sequence[float], *, seed: int = 0, resamples: int = 2000) -> Interval:
    """Percentile bootstrap of a mean over independent units (tasks, or seeds), 95 %.

    Use it where trials inside a unit are dependent: give the mean of each unit.
    """
    values = np.asarray(values_P, dtype=np.float64)
    if not len(values):
        return Interval(math.nan, math.nan, math.nan)
    rng = seeding.generator(seed, "bootstrap")
    means = values[rng.integers(len(values), size=(resamples, len(values)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high))


def pass_at_k(successes: int, samples: int, k: int) -> float:
    """Unbiased probability that at least one of k samples succeeds: 1 - C(n-c, k) / C(n, k).

    Chen et al., Evaluating Large Language Models Trained on Code, arXiv:2107.03374, Eq. 1. Matches the paper.

    >>> pass_at_k(1, 4, 2)
    0.5
    """
    if not 0 <= successes <= samples or not 1 <= k <= samples:
        raise ValueError(f"pass@{k} of {successes} successes in {samples} samples is not defined")
    return 1.0 - math.comb(samples - successes, k) / math.comb(samples, k)


def smallest_detectable_difference(rate: float, trials: int) -> float:
    """Difference between two proportions near ``rate`` that ``trials`` trials each find with 80 % power at 5 %.

    Normal approximation: (1.96 + 0.84) √(2 p (1-p) / n).
    """
    return 2.8016 * math.sqrt(2 * rate * (1 - rate) / trials) if trials else math.inf
