"""Losses over whole groups: numbers by hand, brute force, what they are where they coincide, and what they ignore."""

import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from agentrl.errors import ConfigError
from agentrl.losses import Members, drpo, group_gradient, p3o, trpa
from agentrl.losses.grouped import GROUPED

F = torch.float64
LOSSES = [pytest.param(function, id=name) for name, function in GROUPED.items()]


def members(seed: int = 0, *, groups: int = 3, size: int = 4, spread: float = 0.2) -> Members:
    """Episodes of several groups, shuffled."""
    rng = torch.Generator().manual_seed(seed)
    count = groups * size
    old = -torch.rand(count, generator=rng, dtype=F)
    return Members(
        (old + spread * torch.randn(count, generator=rng, dtype=F)).requires_grad_(),
        old,
        old + 0.5 * torch.randn(count, generator=rng, dtype=F),
        torch.randint(0, 3, (count,), generator=rng).to(F),
        torch.randint(1, 9, (count,), generator=rng).to(F),
        torch.randperm(count, generator=rng) % groups,
        8,
    )


def of(logprobs: list[float], returns: list[float], **changes: Tensor) -> Members:
    """One group of episodes of four tokens, on policy."""
    logprobs_I = torch.tensor(logprobs, dtype=F)
    count = len(logprobs)
    base = Members(
        logprobs_I.clone().requires_grad_(),
        logprobs_I,
        logprobs_I,
        torch.tensor(returns, dtype=F),
        torch.full((count,), 4.0, dtype=F),
        torch.zeros(count, dtype=torch.int64),
        4,
    )
    return replace(base, **changes)


def drpo_by_hand(m: Members, lam: float, tau: float, delta: float, beta: float) -> float:
    objectives = []
    for g in sorted(set(m.group_I.tolist())):
        own = [i for i in range(len(m.group_I)) if m.group_I[i] == g]
        good, bad = [i for i in own if m.returns_I[i] > 0], [i for i in own if m.returns_I[i] <= 0]
        if not good or not bad:
            objectives.append(0.0)
            continue
        weights = {i: math.exp((1 - float(m.tokens_I[i]) / m.most_tokens) / lam) for i in good}
        raised = sum(weights[i] * float(m.logprobs_I[i]) for i in good) / sum(weights.values())
        lowered = tau * math.log(sum(math.exp(float(m.logprobs_I[j]) / tau) for j in bad) / len(bad))
        objectives.append(raised - lowered)
    moved = sum(float(n * (o - s)) for n, o, s in zip(m.tokens_I, m.old_logprobs_I, m.logprobs_I, strict=True))
    kl = moved / float(m.tokens_I.sum())
    return -sum(objectives) / len(objectives) + max(0.0, beta * (kl - delta)) * kl


def trpa_by_hand(m: Members, beta: float, top: float) -> float:
    assert m.ref_logprobs_I is not None
    gain, terms = (m.logprobs_I - m.ref_logprobs_I).tolist(), []
    for g in sorted(set(m.group_I.tolist())):
        own = [i for i in range(len(gain)) if m.group_I[i] == g]
        best = max(float(m.returns_I[i]) for i in own)
        for i in own:
            for j in own:
                if m.returns_I[i] > m.returns_I[j]:
                    a = top if float(m.returns_I[i]) == best else 1.0
                    terms.append(math.log(1 + math.exp(-a * beta * (gain[i] - gain[j]))))
    if not terms:
        terms = [math.log(1 + math.exp(-g if r > 0 else g)) for g, r in zip(gain, m.returns_I.tolist(), strict=True)]
    return sum(terms) / len(terms)


def p3o_by_hand(m: Members, clip: float, joint: bool) -> float:
    ratio = (m.tokens_I * (m.logprobs_I - m.old_logprobs_I)).exp().tolist()
    means = []
    for g in sorted(set(m.group_I.tolist())):
        own = [i for i in range(len(ratio)) if m.group_I[i] == g]
        values = []
        for at, i in enumerate(own):
            for j in own[at + 1 :]:
                half = float(m.returns_I[i] - m.returns_I[j]) / 2
                bound = {k: min(max(ratio[k], 1 - clip), 1 + clip) for k in (i, j)}
                if joint:
                    inside = all(abs(ratio[k] - 1) <= clip for k in (i, j))
                    values.append(inside * (ratio[i] - ratio[j]) * half)
                else:
                    values.append(min(ratio[i] * half, bound[i] * half) + min(-ratio[j] * half, -bound[j] * half))
        means.append(-sum(values) / max(1, len(values)))
    return sum(means) / len(means)


@pytest.mark.parametrize("seed", range(6))
def test_brute_force(seed: int) -> None:
    batch = members(seed)
    batch = replace(batch, logprobs_I=batch.logprobs_I.detach())
    assert drpo(batch, beta=3.0, delta=0.01).item() == pytest.approx(drpo_by_hand(batch, 0.1, 10.0, 0.01, 3.0))
    assert trpa(batch).item() == pytest.approx(trpa_by_hand(batch, 0.1, 2.5))
    for joint in (False, True):
        assert p3o(batch, joint=joint).item() == pytest.approx(p3o_by_hand(batch, 0.2, joint))


def test_golden() -> None:
    # one success of -1, failures of -1 and -1: J = -1 + 1 = 0; a failure of -2 among them lowers the average
    assert drpo(of([-1.0, -1.0, -1.0], [1, 0, 0])).item() == pytest.approx(0.0, abs=1e-12)
    assert drpo(of([-1.0, -2.0], [1, 0])).item() == pytest.approx(-1.0)
    # on the reference policy every pair is a coin flip
    assert trpa(of([-1.0, -2.0, -3.0], [2, 1, 0])).item() == pytest.approx(math.log(2))
    # ratio 1: the better episode up, the worse one down, each by (3 - 1) / 2 times its four tokens
    pull = group_gradient("p3o", of([-1.0, -2.0], [3, 1]))
    torch.testing.assert_close(pull, torch.tensor([-4.0, 4.0], dtype=F))


def test_trpa_leaves_groups_without_a_pair_out() -> None:
    level = of([-1.0] * 4, [1, 0, 1, 1], group_I=torch.tensor([0, 0, 1, 1]))
    # one pair, on the reference policy: a β σ(0) = 2.5 · 0.1 / 2
    torch.testing.assert_close(group_gradient("trpa", level), torch.tensor([-0.125, 0.125, 0, 0], dtype=F))
    # no pair in any group: each episode by itself, σ(0) / 4
    uniform = of([-1.0] * 4, [0, 0, 1, 1], group_I=torch.tensor([0, 0, 1, 1]))
    pull = group_gradient("trpa", uniform)
    torch.testing.assert_close(pull, torch.tensor([0.125, 0.125, -0.125, -0.125], dtype=F))


def test_trpa_counts_pairs_of_all_groups_alike() -> None:
    batch = of([-1.0] * 5, [1, 0, 1, 0, 0], group_I=torch.tensor([0, 0, 1, 1, 1]))  # one pair, and two
    pull = group_gradient("trpa", batch)
    torch.testing.assert_close(pull, torch.tensor([-1, 1, -2, 1, 1], dtype=F) * 0.125 / 3)


def test_drpo_prefers_short_successes() -> None:
    tokens = torch.tensor([1.0, 4.0, 2.0], dtype=F)
    pull = group_gradient("drpo", of([-1.0, -1.0, -1.0], [1, 1, 0], tokens_I=tokens))
    assert pull[0] < pull[1] < 0 < pull[2]
    # only 1 - length / most is weighed: with a wide scale it does not matter
    flat = group_gradient("drpo", of([-1.0, -1.0, -1.0], [1, 1, 0], tokens_I=tokens), length_scale=1e9)
    torch.testing.assert_close(flat, torch.tensor([-0.5, -0.5, 1.0], dtype=F))


def test_drpo_is_held_back_once_it_has_moved() -> None:
    batch = of([-1.0, -1.0], [1, 0])
    moved = replace(batch, old_logprobs_I=batch.old_logprobs_I + 0.1)
    pull = group_gradient("drpo", moved) - group_gradient("drpo", batch)
    # β (KL - δ) · dKL/ds, dKL/ds = -1/2 for each of two equally long episodes
    torch.testing.assert_close(pull, torch.full((2,), -0.5 * 1e3 * (0.1 - 1e-4), dtype=F))


@pytest.mark.parametrize("size", [2, 3, 5])
def test_p3o_on_policy_is_leave_one_out_reinforce(size: int) -> None:
    batch = members(3, size=size, spread=0.0)
    expected = torch.zeros(len(batch.returns_I), dtype=F)
    for own in batch.groups():
        earned = batch.returns_I[own]
        advantage = (earned - earned.mean()) * size / (size - 1)
        expected[own] = -advantage * batch.tokens_I[own] / size / 3
    for joint in (False, True):
        torch.testing.assert_close(group_gradient("p3o", batch, joint=joint), expected)


def test_p3o_clips_each_or_both() -> None:
    ratio = torch.tensor([1.5, 1.0], dtype=F)  # the better one has risen enough
    batch = of([-1.0, -1.0], [1, 0])
    batch = replace(batch, logprobs_I=(batch.old_logprobs_I + ratio.log() / 4).requires_grad_())
    torch.testing.assert_close(group_gradient("p3o", batch), torch.tensor([0.0, 2.0], dtype=F))
    torch.testing.assert_close(group_gradient("p3o", batch, joint=True), torch.zeros(2, dtype=F))


@pytest.mark.parametrize("function", LOSSES)
def test_order_and_names_of_groups_do_not_matter(function: Callable[[Members], Tensor]) -> None:
    batch = members(1)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(0))
    columns = ("logprobs_I", "old_logprobs_I", "ref_logprobs_I", "returns_I", "tokens_I")
    other = replace(batch, **{name: getattr(batch, name)[order] for name in columns}, group_I=7 - batch.group_I[order])
    torch.testing.assert_close(function(other), function(batch))


@pytest.mark.parametrize("joint", [False, True])
def test_p3o_does_not_see_a_shift_of_returns(joint: bool) -> None:
    batch = members(2)
    shift = torch.tensor([3.0, -1.0, 0.5], dtype=F)[batch.group_I]
    torch.testing.assert_close(
        p3o(replace(batch, returns_I=batch.returns_I + shift), joint=joint), p3o(batch, joint=joint)
    )


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize("returns", [[1.0, 1.0, 1.0], [0.0, 0.0], [1.0]])
def test_equal_returns(name: str, returns: list[float]) -> None:
    pull = group_gradient(name, of([-1.0] * len(returns), returns))  # type: ignore[arg-type]
    if name == "trpa":
        assert (pull < 0).all() if returns[0] else (pull > 0).all(), "a group is preferred or avoided as a whole"
    else:
        torch.testing.assert_close(pull, torch.zeros(len(returns), dtype=F))


@pytest.mark.parametrize("name", GROUPED)
def test_no_episode(name: str) -> None:
    none = torch.zeros(0, dtype=F)
    empty = Members(none.clone().requires_grad_(), none, none, none, none, torch.zeros(0, dtype=torch.int64), 1)
    assert group_gradient(name, empty).shape == (0,)  # type: ignore[arg-type]
    assert GROUPED[name](empty).item() == 0


def test_unknown_name() -> None:
    with pytest.raises(ConfigError, match="did you mean 'trpa'"):
        group_gradient("trppa", members())  # type: ignore[arg-type]
