"""Losses over whole groups: a number from the mean log-probs of their episodes, not a sum over tokens.

Axis suffix: ``_I`` episodes of any number of groups.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid, softmax

from agentrl.errors import check_choice
from agentrl.losses.ratio import MAX_LOG_RATIO


@dataclass(frozen=True, slots=True)
class Members:
    """The episodes of whole groups, all columns of shape (I,).

    Attributes:
      logprobs_I: mean log π of the episode's sampled tokens, with gradient.
      old_logprobs_I: the same of the policy that sampled them.
      ref_logprobs_I: the same of the reference policy; None without one.
      returns_I: reward units.
      tokens_I: sampled tokens, 1 or more.
      group_I: int64.
      most_tokens: that an episode can have sampled.
    """

    logprobs_I: Tensor
    old_logprobs_I: Tensor
    ref_logprobs_I: Tensor | None
    returns_I: Tensor
    tokens_I: Tensor
    group_I: Tensor
    most_tokens: int

    def groups(self) -> Iterator[Tensor]:
        """Yield the indices of each group's episodes."""
        for group in torch.unique(self.group_I):
            yield (self.group_I == group).nonzero().squeeze(1)


def drpo(
    members: Members,
    *,
    threshold: float = 0.0,
    length_scale: float = 0.1,
    temperature: float = 10.0,
    delta: float = 1e-4,
    beta: float = 1e3,
) -> Tensor:
    """Raise the successes, the short ones most, and lower the failures, the likely ones most.

        J = Σ_P w s - τ log mean_N exp(s / τ),   w = softmax_P((1 - length / most) / λ)
        loss = -mean_groups J + sg([β (KL - δ)]₊) KL,   KL = mean_tokens(log π_old - log π)

    with s the mean token log-prob, P the group's successes (return > ``threshold``), N its failures. A group without
    both gives 0, and counts in the mean. With equal lengths w is 1/|P|. Paper: DRPO (decoupled reward policy
    optimization), arXiv:2510.04474.
    """
    total = members.logprobs_I.new_zeros(())
    number = 0
    for own in members.groups():
        number += 1
        is_good = members.returns_I[own] > threshold
        good, bad = own[is_good], own[~is_good]
        if not (len(good) and len(bad)):
            continue
        shortness = (1.0 - members.tokens_I[good] / members.most_tokens) / length_scale
        raised = (softmax(shortness, 0) * members.logprobs_I[good]).sum()
        average = torch.logsumexp(members.logprobs_I[bad] / temperature, 0) - math.log(len(bad))
        total = total - raised + temperature * average
    moved_I = members.old_logprobs_I - members.logprobs_I
    kl = (members.tokens_I * moved_I).sum() / members.tokens_I.sum().clamp(min=1.0)
    return total / max(1, number) + (beta * (kl - delta)).clamp(min=0.0).detach() * kl


def trpa(members: Members, *, threshold: float = 0.0, beta: float = 0.1, top: float = 2.5) -> Tensor:
    """Prefer each episode of a group to those of lower levels; a level is a distinct return, the highest is the first.

        loss = mean_{i above j} -log σ(a β (g_i - g_j)),   g = mean_t log π - mean_t log π_ref

    over the pairs of all groups, a being ``top`` if i is of the first level, else 1. A group of equal returns has none
    and is left out. If no group has one, each episode is preferred (-log σ(g), mean over episodes) if its return
    exceeds ``threshold``, else avoided (-log σ(-g)). Paper: TRPA (trust region preference approximation),
    arXiv:2504.04524, as in its public code, which does so in each micro-batch. Differs: its levels are a table of the
    task's, those of a group here are numbered from the group's best.
    """
    assert members.ref_logprobs_I is not None, "TRPA compares with a reference policy"
    gain_I = members.logprobs_I - members.ref_logprobs_I
    terms = []
    for own in members.groups():
        gain, earned = gain_I[own], members.returns_I[own]
        above = earned[:, None] > earned[None, :]
        if above.any():
            factor = torch.where(earned == earned.max(), top, 1.0).to(gain.dtype)[:, None]
            pairs = -logsigmoid(factor * beta * (gain[:, None] - gain[None, :]))
            terms.append(pairs[above])
    if terms:
        return torch.cat(terms).mean()
    wanted_I = torch.where(members.returns_I > threshold, gain_I, -gain_I)
    return -logsigmoid(wanted_I).mean() if len(gain_I) else gain_I.sum()


def p3o(members: Members, *, clip: float = 0.2, joint: bool = False) -> Tensor:
    """Pairwise policy gradient: each pair of a group pulls its better episode up and its worse one down alike.

        separate  loss = -mean_pairs [min(ρ_i A, c(ρ_i) A) + min(-ρ_j A, -c(ρ_j) A)],   A = (R_i - R_j) / 2
        joint     loss = -mean_pairs 1[both ρ in the band] (ρ_i - ρ_j) A

    with ρ = π/π_old of the whole episode and c its limitation to 1 ± ``clip``. It does not change if all returns of a
    group are shifted. At ρ = 1 its gradient is that of leave-one-out REINFORCE over episodes (RLOO). Means are over the
    pairs of a group, then over groups; a group of one counts and gives 0. Paper: P3O (pairwise proximal policy
    optimization), arXiv:2310.00212. Both forms of its clip are our reading of the paper's V1 and V2, and 0.2 is our
    choice; the divergence that it takes from the reward is a term of the loss here (kl_coef).
    """
    log_ratio_I = members.tokens_I * (members.logprobs_I - members.old_logprobs_I)
    ratio_I = log_ratio_I.clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO).exp()
    terms = []
    for own in members.groups():
        ratio, earned = ratio_I[own], members.returns_I[own]
        one, other = torch.triu_indices(len(own), len(own), offset=1, device=own.device)
        half = (earned[one] - earned[other]) / 2
        if joint:
            inside = (ratio.detach() - 1.0).abs() <= clip
            value = (inside[one] & inside[other]) * (ratio[one] - ratio[other]) * half
        else:
            bounded = ratio.clamp(1.0 - clip, 1.0 + clip)
            value = torch.minimum(ratio[one] * half, bounded[one] * half)
            value = value + torch.minimum(-ratio[other] * half, -bounded[other] * half)
        terms.append(-value.sum() / max(1, len(half)))
    return torch.stack(terms).mean() if terms else ratio_I.sum()


GROUPED: dict[str, Callable[..., Tensor]] = {"drpo": drpo, "trpa": trpa, "p3o": p3o}
"""Each is called with `Members` and its own options, and returns a 0-d tensor."""


def group_gradient(name: Literal["drpo", "trpa", "p3o"], members: Members, **options: float) -> Tensor:
    """Return d loss / d logprobs_I, shape (I,): how the loss pulls at the mean log-prob of each episode.

    A loss over groups needs no group in one pass of the model: with these numbers from a first pass, held fixed, the
    sum over tokens of gradient / tokens · log π has the gradient of the whole loss.
    """
    check_choice("group loss", name, tuple(GROUPED))
    if not len(members.logprobs_I):
        return members.logprobs_I.detach()
    (gradient_I,) = torch.autograd.grad(GROUPED[name](members, **options), members.logprobs_I)
    return gradient_I
