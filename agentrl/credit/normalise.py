"""The one normaliser: (x - baseline) / scale inside each group. Every group-relative method is a case of it.

Axis suffixes: ``_I`` the items to normalise (trajectories or turns), ``_K`` groups.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from agentrl.credit.segments import FloatN, IntN, sums
from agentrl.errors import check_choice

Scale = Literal["std", "none"]
Baseline = Literal["mean", "leave_one_out"]

# A spread below this share of the values' own size is rounding, not information.
ROUNDING = 1e-12


@dataclass(frozen=True, slots=True)
class Moments:
    """Weighted statistics of each group, all of shape (K,); a group without members has mean 0, std 0."""

    mean_K: FloatN
    std_K: FloatN
    count_K: IntN
    weight_K: FloatN

    @classmethod
    def of(
        cls, value_I: FloatN, key_I: IntN, num_keys: int, *, weight_I: FloatN | None = None, ddof: int = 1
    ) -> "Moments":
        """Take the statistics of each group; a weight counts as that many equal members.

            mean = Σ w x / Σ w,   std² = Σ w (x - mean)² / (Σ w - ddof)

        Values are first shifted by a member of their group: the mean of equal values is then that value to the last
        bit, so that equal values differ from it by exactly 0.
        """
        count_K = np.bincount(key_I, minlength=num_keys)
        weight_K = count_K.astype(np.float64) if weight_I is None else sums(weight_I, key_I, num_keys)
        pivot_K = np.zeros(num_keys)
        pivot_K[key_I] = value_I
        shifted_I = value_I - pivot_K[key_I]
        mean_K = _ratio(sums(_weighted(shifted_I, weight_I), key_I, num_keys), weight_K)
        square_I = (shifted_I - mean_K[key_I]) ** 2
        std_K = np.sqrt(_ratio(sums(_weighted(square_I, weight_I), key_I, num_keys), weight_K - ddof))
        mean_K = pivot_K + mean_K
        std_K[std_K <= ROUNDING * np.abs(mean_K)] = 0.0
        return cls(mean_K, std_K, count_K, weight_K)


def scored_means(value_I: FloatN, key_I: IntN, num_keys: int) -> FloatN:
    """Return at each member the mean of its group, members that are NaN left out; these stay NaN."""
    scored_I = np.isfinite(value_I)
    mean_I = np.full(len(value_I), np.nan)
    mean_I[scored_I] = Moments.of(value_I[scored_I], key_I[scored_I], num_keys).mean_K[key_I[scored_I]]
    return mean_I


def normalise(
    value_I: FloatN,
    key_I: IntN,
    num_keys: int,
    *,
    weight_I: FloatN | None = None,
    scale: Scale = "std",
    baseline: Baseline = "mean",
    ddof: int = 1,
    eps: float = 1e-6,
) -> FloatN:
    """Return (x - baseline) / (std + eps), or x - baseline, inside each group.

    ``baseline="leave_one_out"`` takes the mean of the other members: x - mean₋ᵢ = (x - mean) W / (W - wᵢ) with W = Σ w.
    A group of one, and a group whose values are equal, give exactly 0.
    """
    check_choice("scale", scale, ("std", "none"))
    check_choice("baseline", baseline, ("mean", "leave_one_out"))
    moments = Moments.of(value_I, key_I, num_keys, weight_I=weight_I, ddof=ddof)
    centred_I = value_I - moments.mean_K[key_I]
    if baseline == "leave_one_out":
        total_I = moments.weight_K[key_I]
        centred_I *= _ratio(total_I, total_I - (1.0 if weight_I is None else weight_I))
    if scale == "none":
        return centred_I
    # dividing by infinity gives the 0 of equal values, at less cost than leaving them out
    scale_K = np.where(moments.std_K > 0.0, moments.std_K + eps, np.inf)
    centred_I /= scale_K[key_I]
    return centred_I


def _weighted(value_I: FloatN, weight_I: FloatN | None) -> FloatN:
    return value_I if weight_I is None else weight_I * value_I


def _ratio(numerator: FloatN, denominator: FloatN) -> FloatN:
    """Return the quotient, 0 where the denominator is not positive."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0.0)
