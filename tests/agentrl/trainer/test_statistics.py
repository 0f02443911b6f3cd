"""Intervals and estimators against published values and enumeration."""

import math
from itertools import combinations

import numpy as np
import pytest

from agentrl import seeding
from agentrl.trainer.statistics import bootstrap_mean, pass_at_k, smallest_detectable_difference, wilson


@pytest.mark.parametrize(
    # Newcombe, Statistics in Medicine 17 (1998), Table I: method 3, score without continuity correction.
    ("successes", "trials", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson(successes: int, trials: int, low: float, high: float) -> None:
    interval = wilson(successes, trials)
    assert interval.mean == successes / trials
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=5e-5)
    mirrored = wilson(trials - successes, trials)
    assert (mirrored.low, mirrored.high) == pytest.approx((1 - interval.high, 1 - interval.low))


def test_wilson_holds_its_estimate() -> None:
    """Also where every trial succeeds or fails: 200 of 200 had an upper end of 1 - 1e-16."""
    for trials in range(1, 300):
        for successes in (0, 1, trials):
            interval = wilson(successes, trials)
            assert 0.0 <= interval.low <= interval.mean <= interval.high <= 1.0


def test_wilson_without_trials_and_out_of_range() -> None:
    nothing = wilson(0, 0)
    assert math.isnan(nothing.mean) and (nothing.low, nothing.high) == (0.0, 1.0)
    with pytest.raises(ValueError, match="3 successes in 2 trials"):
        wilson(3, 2)


@pytest.mark.parametrize("samples", [1, 3, 6])
def test_pass_at_k_is_the_share_of_choices_with_a_success(samples: int) -> None:
    for successes in range(samples + 1):
        results = [number < successes for number in range(samples)]
        for k in range(1, samples + 1):
            chosen = [any(choice) for choice in combinations(results, k)]
            assert pass_at_k(successes, samples, k) == pytest.approx(sum(chosen) / len(chosen))


@pytest.mark.parametrize(("successes", "samples", "k"), [(3, 2, 1), (-1, 2, 1), (1, 2, 0), (1, 2, 3)])
def test_pass_at_k_out_of_range(successes: int, samples: int, k: int) -> None:
    with pytest.raises(ValueError, match="is not defined"):
        pass_at_k(successes, samples, k)


def test_bootstrap_is_close_to_the_normal_interval() -> None:
    values = seeding.generator(0, "values").normal(2.0, 1.0, size=400)
    interval = bootstrap_mean(values.tolist())
    error = 1.96 * values.std() / math.sqrt(len(values))
    assert interval.mean == pytest.approx(values.mean())
    assert (interval.low, interval.high) == pytest.approx((values.mean() - error, values.mean() + error), abs=0.02)
    assert interval == bootstrap_mean(values.tolist())


def test_bootstrap_of_equal_values_one_value_and_none() -> None:
    for values in ([0.25] * 5, [0.25]):
        assert bootstrap_mean(values).percent() == "25.0 % [25.0, 25.0]"
    assert math.isnan(bootstrap_mean([]).mean)


def test_smallest_detectable_difference_is_found_four_times_in_five() -> None:
    rate, trials = 0.5, 200
    shift = smallest_detectable_difference(rate, trials)
    assert shift == pytest.approx(2.8016 * math.sqrt(2 * 0.25 / 200))
    rng = seeding.generator(0, "power")
    low, high = (rng.binomial(trials, rate + sign * shift / 2, size=20_000) / trials for sign in (-1, 1))
    error = np.sqrt((low * (1 - low) + high * (1 - high)) / trials)
    assert np.mean((high - low) / error > 1.96) == pytest.approx(0.8, abs=0.03)
    assert smallest_detectable_difference(0.5, 0) == math.inf
