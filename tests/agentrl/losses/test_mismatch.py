import pytest
import torch
from tokens import random_tokens
from torch.testing import assert_close

from agentrl.errors import ConfigError
from agentrl.losses import mismatch_weights, off_policy_sequence_mask, second_moment_mask
from agentrl.losses.mismatch import BOUNDS, CORRECTIONS

F64 = torch.float64
RATIO = torch.tensor([0.25, 1.0, 4.0, 8.0, 1.0, 1.0], dtype=F64)
MASK = torch.tensor([True, True, True, True, True, False])
SEQUENCE = torch.tensor([0, 0, 0, 1, 1, 1])


def weights(kind, **options):
    return mismatch_weights(RATIO.log(), torch.zeros(6, dtype=F64), MASK, kind=kind, sequence_index=SEQUENCE, **options)


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("tis", {}, [0.25, 1, 2, 2, 1, 0]),
        ("tis", {"low": 0.5, "high": 5.0}, [0.5, 1, 4, 5, 1, 0]),
        ("icepop", {}, [0, 1, 4, 0, 1, 0]),
        ("sequence_tis", {"high": 3.0}, [1, 1, 1, 3, 3, 0]),
        ("sequence_mask", {}, [1, 1, 1, 0, 0, 0]),
        ("geometric_filter", {}, [1, 1, 1, 0, 0, 0]),
        ("k3_filter", {"high": 0.8}, [1, 1, 1, 0, 0, 0]),  # (0.636 + 0 + 1.614)/3 = 0.75; (4.92 + 0)/2
    ],
)
def test_golden(kind, options, expected):
    assert_close(weights(kind, **options), torch.tensor(expected, dtype=F64))


@pytest.mark.parametrize("kind", CORRECTIONS)
@pytest.mark.parametrize("seed", range(4))
def test_equals_the_definition(kind, seed):
    batch = random_tokens(seed, spread=0.3)
    low, high = {"geometric_filter": (0.95, 1.05), "k3_filter": (0.0, 0.05)}.get(kind, BOUNDS[kind])
    result = mismatch_weights(
        batch.logprobs, batch.old, batch.mask, kind=kind, low=low, high=high, sequence_index=batch.sequence
    )
    for token in range(24):
        mine = batch.mask & (batch.sequence == batch.sequence[token])
        logs = (batch.logprobs - batch.old).detach()
        value = {
            "tis": logs[token].exp(),
            "icepop": logs[token].exp(),
            "sequence_tis": logs[mine].sum().exp(),
            "sequence_mask": logs[mine].sum().exp(),
            "geometric_filter": logs[mine].mean().exp(),
            "k3_filter": (logs[mine].exp() - 1 - logs[mine]).mean(),
        }[kind]
        if "tis" in kind:
            expected = value.clamp(low, high)
        elif "filter" in kind:
            expected = (value >= low) & (value <= high)
        else:
            expected = value * ((value >= low) & (value <= high))
        assert_close(result[token], (expected * batch.mask[token]).to(F64))


@pytest.mark.parametrize("kind", CORRECTIONS)
def test_the_same_policy_needs_no_correction(kind):
    batch = random_tokens(0)
    result = mismatch_weights(batch.old, batch.old, batch.mask, kind=kind, sequence_index=batch.sequence)
    assert_close(result, batch.mask.to(F64))
    nothing = torch.zeros(24, dtype=torch.bool)
    result = mismatch_weights(batch.old * torch.nan, batch.old, nothing, kind=kind, sequence_index=batch.sequence)
    assert_close(result, torch.zeros(24, dtype=F64))


def test_weights_carry_no_gradient_and_survive_any_ratio():
    batch = random_tokens(1)
    assert not mismatch_weights(batch.logprobs, batch.old).requires_grad
    extreme = mismatch_weights(torch.tensor([0.0, -1e30]), torch.tensor([-1e30, 0.0]), kind="icepop")
    assert_close(extreme, torch.zeros(2))


def test_golden_off_policy_sequence_mask():
    old = torch.zeros(6, dtype=F64)
    logprobs = torch.tensor([-0.2, 0.0, 0.1, 0.1, -0.05, -9.0], dtype=F64)  # means of old - new: 1/30 and -0.025
    advantages = torch.tensor([-1.0, 1.0, -1.0, -1.0, 1.0, 1.0], dtype=F64)
    result = off_policy_sequence_mask(logprobs, old, advantages, MASK, sequence_index=SEQUENCE)
    assert_close(result, torch.tensor([0.0, 1, 0, 1, 1, 0], dtype=F64))


def test_golden_second_moment_mask():
    logs = torch.tensor([0.1, 0.3, -0.2, 2.0, 0.0, 5.0], dtype=F64)
    # squares 0, 0.01, 0.04, 0.09 average 0.035; with 4 they would not
    result = second_moment_mask(logs, torch.zeros(6, dtype=F64), MASK)
    assert_close(result, torch.tensor([1.0, 1, 1, 0, 1, 0], dtype=F64))


@pytest.mark.parametrize("seed", range(4))
def test_second_moment_mask_keeps_as_many_as_it_can(seed):
    batch = random_tokens(seed, spread=0.5)
    kept = second_moment_mask(batch.logprobs, batch.old, batch.mask).bool()
    squares = (batch.logprobs - batch.old).detach().square()
    assert squares[kept].mean() <= 0.04
    dropped = squares[batch.mask & ~kept]
    assert len(dropped)
    assert dropped.min() >= squares[kept].max()
    assert torch.cat([squares[kept], dropped.min()[None]]).mean() > 0.04


def test_bad_options_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'icepop'"):
        weights("icepp")
    with pytest.raises(ConfigError, match="needs sequence_index"):
        mismatch_weights(RATIO, RATIO, kind="k3_filter")
