"""Turn advantages against all turns of the group, the more the alike their texts are (ProxMO).

Axis suffixes: ``_N`` turns, ``_D`` distinct texts, ``_G`` those of one group, ``_W`` words.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence

import numpy as np

from agentrl.credit.group_relative import group_relative
from agentrl.credit.normalise import Moments, Scale
from agentrl.credit.returns import discounted_returns
from agentrl.credit.segments import FloatN, IntN, sums
from agentrl.credit.table import TurnTable, scored_rows
from agentrl.errors import ConfigError, DataError

WORD = re.compile(r"\b\w\w+\b")
"""A word: two letters, digits or underscores, or more."""


def text_vectors(texts: Sequence[str], count_D: IntN, max_words: int = 1024) -> FloatN:
    """Return the TF-IDF vector of each text, of length 1, or 0 without a known word, shape (D, W).

        tf · idf,   idf = ln((1 + n) / (1 + df)) + 1

    n texts, df of them with the word; a text counts ``count_D`` times. Known are the ``max_words`` words that occur
    most often (equals in the order of the alphabet). As scikit-learn's ``TfidfVectorizer`` does by default.
    """
    bags = [Counter(WORD.findall(text.lower())) for text in texts]
    totals: Counter[str] = Counter()
    for bag, count in zip(bags, count_D.tolist(), strict=True):
        totals.update({word: times * count for word, times in bag.items()})
    known = sorted(totals, key=lambda word: (-totals[word], word))[:max_words]
    column_of = {word: column for column, word in enumerate(known)}
    frequency = np.zeros((len(texts), len(known)))
    for row, bag in enumerate(bags):
        for word, times in bag.items():
            if word in column_of:
                frequency[row, column_of[word]] = times
    document_W = count_D @ (frequency > 0)
    vectors: FloatN = frequency * (np.log((1.0 + count_D.sum()) / (1.0 + document_W)) + 1.0)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    np.divide(vectors, lengths, out=vectors, where=lengths > 0.0)
    return vectors


@scored_rows
def soft_anchor(table: TurnTable, *, gamma: float = 0.95, temperature: float = 0.1) -> FloatN:
    """How much better a turn did than the turns of its group, those in similar states before all.

        A_t = R_t - Σ_u w_tu R_u,   w_tu = softmax over the group's u of cos(x_t, x_u) / T

    x is the TF-IDF vector of the state's text (`text_vectors`, fitted to all turns of the table). T -> 0 compares with
    equal texts alone, which is `anchor_state` without its standard deviation; T -> ∞ with the whole group alike.
    Paper: ProxMO, arXiv:2602.19225 (its proximity-based soft aggregation), as its public code does, in float64; a text
    without a known word is here like itself, there like nothing.

    Args:
      table: turns with ``text``.
      gamma: discount per turn.
      temperature: T, above 0.

    Returns:
      shape (N,), reward units; NaN where there is no verdict.

    Raises:
      ConfigError: T is not positive.
      DataError: the table has no texts, or one is not a string.
    """
    if temperature <= 0.0:
        raise ConfigError(f"temperature is {temperature}: give a number above 0")
    return_N = discounted_returns(table, gamma)
    used_D, text_N = np.unique(table.need("text"), return_inverse=True)
    seen = [table.text_labels[code] for code in used_D.tolist()]
    for text in seen:
        if not isinstance(text, str):
            raise DataError(f"similarity is that of texts, but one is {text!r}: give what was seen as a string")
    texts = sorted(map(str, seen))  # in whatever order they came, the result is the same to the last bit
    text_N = np.array([bisect_left(texts, text) for text in map(str, seen)], dtype=np.int64)[text_N]
    vectors = text_vectors(texts, np.bincount(text_N))
    advantage_N = np.empty(len(table))
    order = np.argsort(table.group_N, kind="stable")
    for rows in np.split(order, np.cumsum(np.bincount(table.group_N))[:-1]):
        seen_G, place = np.unique(text_N[rows], return_inverse=True)
        mine = vectors[seen_G]
        kernel = np.exp((mine @ mine.T - 1.0) / temperature)  # cosines are at most 1: nothing overflows
        np.fill_diagonal(kernel, 1.0)
        pivot = return_N[rows[0]] if len(rows) else 0.0  # equal returns then differ from their mean by exactly 0
        shifted = return_N[rows] - pivot
        total_G = kernel @ sums(shifted, place, len(seen_G))
        weight_G = kernel @ np.bincount(place, minlength=len(seen_G)).astype(np.float64)
        advantage_N[rows] = shifted - (total_G / weight_G)[place]
    return advantage_N


@scored_rows
def success_rate_weight(table: TurnTable, *, steepness: float = 5.0, strength: float = 0.866) -> FloatN:
    """What an episode's advantage is multiplied by: rare successes count more, rare failures less.

        w = 1 + β (σ((1 - p)^α) - 1/2) for a success,   1 + β (σ(-p^α) - 1/2) for a failure

    p is the success rate of the group. Paper: ProxMO, arXiv:2602.19225 (its polarized signal controller), as its public
    code does; differs: the code takes the mean return over turns for p.

    Args:
      table: turns with ``success``.
      steepness: α.
      strength: β.

    Returns:
      shape (N,).
    """
    success_N = table.need("success")
    success_M = np.zeros(table.num_trajectories)
    success_M[table.trajectory_N] = success_N
    rate_N = Moments.of(success_M, table.group_M, table.num_groups).mean_K[table.group_N]
    power_N = np.where(success_N, np.power(1.0 - rate_N, steepness), -np.power(rate_N, steepness))
    return 1.0 + strength * (1.0 / (1.0 + np.exp(-power_N)) - 0.5)


@scored_rows
def proxmo(
    table: TurnTable,
    *,
    gamma: float = 0.95,
    step_weight: float = 1.0,
    temperature: float = 0.1,
    steepness: float = 5.0,
    strength: float = 0.866,
    scale: Scale = "none",
    invalid_penalty: float = 0.0,
    eps: float = 1e-6,
) -> FloatN:
    """Episode advantage, weighed by the group's success rate, plus turn advantage among similar states.

        A_t = w(τ) Aᴱ + ω Aˢ_t

    w is `success_rate_weight`, Aᴱ `group_relative`, Aˢ `soft_anchor`. With β = 0 and ω = 0 it is Dr. GRPO's advantage.
    Paper: ProxMO, arXiv:2602.19225, as its public code does (``soft_grouping``, which divides by no standard
    deviation).

    Args:
      table: turns with ``success`` and ``text``.
      gamma: discount per turn.
      step_weight: ω.
      temperature: of the similarity.
      steepness: α.
      strength: β.
      scale: divide Aᴱ by the group's standard deviation (ddof 1), or not.
      invalid_penalty: cost of an invalid action, reward units.
      eps: added to standard deviations.

    Returns:
      shape (N,); NaN where there is no verdict.
    """
    if invalid_penalty:
        table = table.with_reward(table.reward_N - invalid_penalty * table.invalid_N)
    weight_N = success_rate_weight(table, steepness=steepness, strength=strength)
    step_N = soft_anchor(table, gamma=gamma, temperature=temperature)
    return weight_N * group_relative(table, scale=scale, eps=eps) + step_weight * step_N
