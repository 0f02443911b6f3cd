import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentrl.credit import bilevel_gae, gae, turn_discounts
from agentrl.errors import ConfigError, DataError
from agentrl.seeding import generator


def test_golden_with_uneven_discounts():
    # δ2 = 1 - 0.5 = 0.5; δ1 = 0 + 0.9·0.5 - 0.4 = 0.05; δ0 = 0 + 0.5·0.4 - 0.2 = 0
    # A2 = 0.5; A1 = 0.05 + 0.9·0.5·0.5 = 0.275; A0 = 0 + 0.5·0.5·0.275 = 0.06875
    advantage, returns = gae([0, 0, 1], [0.2, 0.4, 0.5], [7, 7, 7], discount=[0.5, 0.9, 1.0], lam=0.5)
    np.testing.assert_allclose(advantage, [0.06875, 0.275, 0.5])
    np.testing.assert_allclose(returns, [0.26875, 0.675, 1.0])


def oracle(reward, value, segment, discount, lam, bootstrap):
    advantage = np.zeros(len(reward))
    for n in reversed(range(len(reward))):
        last = n + 1 == len(reward) or segment[n + 1] != segment[n]
        following = bootstrap[n] if last else value[n + 1]
        delta = reward[n] + discount[n] * following - value[n]
        advantage[n] = delta + (0.0 if last else discount[n] * lam[n] * advantage[n + 1])
    return advantage


@given(seed=st.integers(0, 1000))
def test_equals_the_recursion(seed):
    rng = generator(seed, "gae")
    segment = np.repeat(rng.permutation(4), rng.integers(1, 9, 4))
    reward, value, bootstrap = rng.normal(size=(3, len(segment)))
    discount, lam = rng.random((2, len(segment)))
    advantage, returns = gae(reward, value, segment, discount=discount, lam=lam, bootstrap=bootstrap)
    np.testing.assert_allclose(advantage, oracle(reward, value, segment, discount, lam, bootstrap), atol=1e-12)
    np.testing.assert_allclose(returns, advantage + value)


def test_reduces_to_monte_carlo_and_to_one_step():
    reward, value = np.array([1.0, 2.0, 3.0]), np.array([0.5, 0.25, 0.125])
    monte_carlo, _ = gae(reward, value, [0] * 3, discount=0.5, lam=1.0)
    np.testing.assert_allclose(monte_carlo, np.array([2.75, 3.5, 3.0]) - value)
    one_step, _ = gae(reward, value, [0] * 3, discount=0.5, lam=0.0)
    np.testing.assert_allclose(one_step, [1 + 0.125 - 0.5, 2 + 0.0625 - 0.25, 3 - 0.125])


def test_a_truncated_episode_is_bootstrapped():
    advantage, _ = gae([0.0], [0.25], [0], discount=0.5, bootstrap=4.0)
    np.testing.assert_allclose(advantage, [1.75])


@given(seed=st.integers(0, 200))
def test_skipped_positions_might_as_well_not_exist(seed):
    rng = generator(seed, "mask")
    segment = np.repeat([0, 1, 2], rng.integers(1, 9, 3))
    mask = rng.random(len(segment)) < 0.6
    reward, value = rng.normal(size=(2, len(segment)))
    reward *= mask
    advantage, returns = gae(reward, value, segment, discount=0.9, lam=0.8, mask=mask)
    alone = gae(reward[mask], value[mask], segment[mask], discount=0.9, lam=0.8)
    np.testing.assert_array_equal((advantage[mask], returns[mask]), alone)
    assert np.isnan(advantage[~mask]).all()


def poad_oracle(reward, value, action_end, gamma, lam):
    """Backward over one episode as the paper writes it: no discount between the tokens of an action."""
    advantage, following, running = np.zeros(len(reward)), 0.0, 0.0
    for n in reversed(range(len(reward))):
        if action_end[n]:
            delta, factor = reward[n] + gamma * following - value[n], gamma * lam
        else:
            delta, factor = following - value[n], lam
        running = advantage[n] = delta + factor * running
        following = value[n]
    return advantage


def test_poad_is_a_vector_of_discounts():
    rng = generator(0, "poad")
    end = np.array([0, 0, 1, 0, 1, 1], dtype=bool)
    reward, value = rng.normal(size=6) * end, rng.normal(size=6)
    result, _ = gae(reward, value, [0] * 6, discount=turn_discounts(end, 0.95), lam=0.9)
    np.testing.assert_allclose(result, poad_oracle(reward, value, end, 0.95, 0.9))


def bilevel_oracle(reward, value, end, keep, gamma_turn, lam_turn, gamma, lam):
    """One trajectory: turns first, then the tokens of each turn toward its target."""
    ends = np.flatnonzero(end)
    target, running = reward.copy(), 0.0
    for at, position in reversed(list(enumerate(ends))):
        following = value[ends[at + 1]] if at + 1 < len(ends) else 0.0
        running = reward[position] + gamma_turn * following - value[position] + gamma_turn * lam_turn * running
        target[position] = running + value[position]
    advantage, kept, running = np.full(len(reward), np.nan), np.flatnonzero(keep), 0.0
    for at, position in reversed(list(enumerate(kept))):
        if end[position]:
            running, delta = 0.0, target[position] - value[position]
        else:
            delta = gamma * value[kept[at + 1]] - value[position]
        running = advantage[position] = delta + gamma * lam * running
    return advantage


@given(seed=st.integers(0, 1000))
def test_bilevel_equals_the_two_loops(seed):
    rng = generator(seed, "bilevel")
    keep = rng.random(14) < 0.7
    keep[rng.integers(0, 14)] = True
    end = keep & (rng.random(14) < 0.4)
    end[np.flatnonzero(keep)[-1]] = True
    reward, value = rng.normal(size=14) * end, rng.normal(size=14)
    reward[np.flatnonzero(end)[0]] = 0.0  # a turn without a reward is still a turn
    rules = {"gamma_turn": 0.9, "lam_turn": 0.8, "gamma_token": 0.95, "lam_token": 0.7}
    result, returns = bilevel_gae(np.r_[reward, reward], np.r_[value, value], [0] * 14 + [1] * 14,
                                  np.r_[end, end], mask=np.r_[keep, keep], **rules)  # fmt: skip
    expected = bilevel_oracle(reward, value, end, keep, *rules.values())
    np.testing.assert_allclose(result, np.r_[expected, expected], atol=1e-12)
    np.testing.assert_allclose(returns, result + np.where(np.isnan(result), np.nan, np.r_[value, value]))


def test_bilevel_with_one_token_per_turn_is_gae_over_turns():
    reward, value = np.array([0.0, 1.0, 2.0]), np.array([0.3, 0.2, 0.1])
    both = bilevel_gae(reward, value, [0] * 3, [True] * 3, gamma_turn=0.9, lam_turn=0.5)
    np.testing.assert_allclose(both, gae(reward, value, [0] * 3, discount=0.9, lam=0.5))


def test_no_position():
    for result in (*gae([], [], []), *bilevel_gae([], [], [], [])):
        assert result.shape == (0,)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"segments": [0, 1, 0]}, DataError, "not contiguous"),
        ({"values": [0.0]}, DataError, "shapes differ"),
        ({"mask": [True, True, False]}, DataError, r"reward 1\.0 at position 2 is outside the mask"),
        ({"discount": 1.5}, ConfigError, "discount is 1.5"),
        ({"lam": -0.5}, ConfigError, "lam is -0.5"),
    ],
)
def test_bad_input_is_refused(options, error, message):
    with pytest.raises(error, match=message):
        gae(**{"rewards": [0, 0, 1], "values": [0, 0, 0], "segments": [0, 0, 0]} | options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rewards": [0, 1, 0], "is_turn_end": [True, True, False]}, "position 2 ends a segment but no turn"),
        (
            {"rewards": [1, 0, 1], "is_turn_end": [False, True, True]},
            r"reward 1\.0 at position 0 is not at a turn's end",
        ),
        ({"mask": [True, False, True]}, "turn end at position 1 is outside the mask"),
    ],
)
def test_bilevel_wants_turn_ends_said(options, message):
    with pytest.raises(DataError, match=message):
        bilevel_gae(
            **{"rewards": [0, 0, 1], "values": [0] * 3, "segments": [0] * 3, "is_turn_end": [False, True, True]}
            | options
        )
