"""The vocabulary head without the full logits: log-probs and entropies of chosen tokens, a few rows at a time.

Axis suffixes: ``_L`` positions, ``_C`` positions of one chunk, ``_V`` vocabulary, ``_D`` hidden size.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

TokenLoss = Callable[[Tensor, Tensor, slice], Tensor]
"""(log-probs, entropies, which positions) -> loss of each, already weighted: the total is the sum."""


def token_logprobs(
    hidden_LD: Tensor, weight_VD: Tensor, targets_L: Tensor, *, temperature: float = 1.0, chunk: int = 128
) -> tuple[Tensor, Tensor]:
    """Return log π(target) and the entropy of π at each position, π = softmax(hidden · weightᵀ / temperature).

    Both are differentiable with respect to hidden and weight. Only ``chunk`` × V logits exist at a time: the backward
    pass computes them again (4 products with the vocabulary in all, where keeping the logits would take 3).

    Args:
      hidden_LD: last hidden states of the positions *before* the targets.
      weight_VD: weight of the head, ``lm_head.weight``.
      targets_L: int64 token ids.
      temperature: of the softmax, more than 0.
      chunk: positions at a time.

    Returns:
      (log-probs, entropies), each (L,), nats, float32 (float64 for float64 input).
    """
    both: tuple[Tensor, Tensor] = _Recomputed.apply(hidden_LD, weight_VD, targets_L, temperature, chunk)  # type: ignore[no-untyped-call]
    return both


def fused_loss(
    hidden_LD: Tensor,
    weight_VD: Tensor,
    targets_L: Tensor,
    token_loss: TokenLoss,
    *,
    temperature: float = 1.0,
    chunk: int = 128,
) -> tuple[Tensor, Tensor, Tensor]:
    """Return Σ token_loss and the detached log-probs and entropies, forming the gradient during the forward pass.

    Needs only the 3 products with the vocabulary of the naive computation and keeps no logits, because the slope of the
    loss in log-prob and entropy is known as soon as a chunk is: so ``token_loss`` must be a sum over tokens, each of
    its own log-prob and entropy (token-level ratios; for others take the segment's ratio from a first pass, or use
    `token_logprobs`).

        ∂log π(y)/∂z = onehot(y) - π,   ∂H/∂z = -π (log π + H),   z = logits

    Args:
      hidden_LD: as in `token_logprobs`.
      weight_VD: likewise.
      targets_L: likewise.
      token_loss: called once per chunk with tensors that require a gradient; must not look at the parameters.
      temperature: of the softmax.
      chunk: positions at a time.

    Returns:
      (loss, 0-d; log-probs (L,); entropies (L,)).
    """
    result: tuple[Tensor, Tensor, Tensor] = _Fused.apply(  # type: ignore[no-untyped-call]
        hidden_LD, weight_VD, targets_L, token_loss, temperature, chunk
    )
    return result


def _chunks(length: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, length)) for start in range(0, length, size))


def _working_dtype(hidden_LD: Tensor) -> torch.dtype:
    return torch.float64 if hidden_LD.dtype == torch.float64 else torch.float32


def _distribution(
    hidden_CD: Tensor, weight_VD: Tensor, target_C: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return probabilities (C, V), their logs (C, V), and log-prob and entropy of each position (C,)."""
    logits_CV = (hidden_CD @ weight_VD.T).to(_working_dtype(hidden_CD))
    if temperature != 1.0:
        logits_CV /= temperature
    logp_CV = torch.log_softmax(logits_CV, dim=-1)
    p_CV = logp_CV.exp()
    entropy_C = -torch.linalg.vecdot(p_CV, logp_CV)
    return p_CV, logp_CV, logp_CV.gather(1, target_C[:, None])[:, 0], entropy_C


def _logits_gradient(
    p_CV: Tensor, logp_CV: Tensor, target_C: Tensor, entropy_C: Tensor, slope_logprob_C: Tensor, slope_entropy_C: Tensor
) -> Tensor:
    """Return the gradient of the logits, given the slopes of the loss in log-prob and entropy. Overwrites p and logp.

    -a π - b π (log π + H) + a onehot = -π (a + b H + b log π) + a onehot
    """
    constant_C1 = (slope_logprob_C + slope_entropy_C * entropy_C)[:, None]
    gradient_CV = logp_CV.mul_(slope_entropy_C[:, None]).add_(constant_C1).mul_(p_CV).neg_()
    return gradient_CV.scatter_add_(1, target_C[:, None], slope_logprob_C[:, None])


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, hidden_LD: Tensor, weight_VD: Tensor, targets_L: Tensor, temperature: float, chunk: int
    ) -> tuple[Tensor, Tensor]:
        logprobs_L = hidden_LD.new_empty(len(hidden_LD), dtype=_working_dtype(hidden_LD))
        entropies_L = torch.empty_like(logprobs_L)
        for at in _chunks(len(hidden_LD), chunk):
            _, _, logprobs_L[at], entropies_L[at] = _distribution(hidden_LD[at], weight_VD, targets_L[at], temperature)
        ctx.save_for_backward(hidden_LD, weight_VD, targets_L)
        ctx.temperature, ctx.chunk = temperature, chunk
        return logprobs_L, entropies_L

    @staticmethod
    def backward(ctx: Any, *slopes_L: Tensor) -> tuple[Tensor | None, ...]:
        hidden_LD, weight_VD, targets_L = ctx.saved_tensors
        gradients = _HeadGradients(hidden_LD, weight_VD, ctx.needs_input_grad)
        for at in _chunks(len(hidden_LD), ctx.chunk):
            p_CV, logp_CV, _, entropy_C = _distribution(hidden_LD[at], weight_VD, targets_L[at], ctx.temperature)
            slopes = (slope_L[at] / ctx.temperature for slope_L in slopes_L)
            gradients.add(at, _logits_gradient(p_CV, logp_CV, targets_L[at], entropy_C, *slopes))
        return gradients.hidden_LD, gradients.weight_VD, None, None, None


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_LD: Tensor,
        weight_VD: Tensor,
        targets_L: Tensor,
        token_loss: TokenLoss,
        temperature: float,
        chunk: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        logprobs_L = hidden_LD.new_empty(len(hidden_LD), dtype=_working_dtype(hidden_LD))
        entropies_L = torch.empty_like(logprobs_L)
        loss = logprobs_L.new_zeros(())
        gradients = _HeadGradients(hidden_LD, weight_VD, ctx.needs_input_grad)
        for at in _chunks(len(hidden_LD), chunk):
            p_CV, logp_CV, logprob_C, entropy_C = _distribution(hidden_LD[at], weight_VD, targets_L[at], temperature)
            logprobs_L[at], entropies_L[at] = logprob_C, entropy_C
            with torch.enable_grad():
                inputs = logprob_C.detach().requires_grad_(), entropy_C.detach().requires_grad_()
                chunk_loss = token_loss(*inputs, at).sum()
                slopes = torch.autograd.grad(chunk_loss, inputs, allow_unused=True, materialize_grads=True)
            loss += chunk_loss.detach()
            slopes_C = (slope_C / temperature for slope_C in slopes)
            gradients.add(at, _logits_gradient(p_CV, logp_CV, targets_L[at], entropy_C, *slopes_C))
        ctx.gradients = gradients
        ctx.mark_non_differentiable(logprobs_L, entropies_L)
        return loss, logprobs_L, entropies_L

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.gradients
        scaled = (None if g is None else g * slopes[0].to(g.dtype) for g in (gradients.hidden_LD, gradients.weight_VD))
        return *scaled, None, None, None, None


class _HeadGradients:
    """The gradients of hidden states and weight, filled chunk by chunk; None where not needed."""

    def __init__(self, hidden_LD: Tensor, weight_VD: Tensor, needed: tuple[bool, ...]) -> None:
        self._inputs = hidden_LD, weight_VD
        self.hidden_LD = torch.empty_like(hidden_LD) if needed[0] else None
        self.weight_VD = torch.zeros_like(weight_VD) if needed[1] else None

    def add(self, at: slice, gradient_CV: Tensor) -> None:
        hidden_LD, weight_VD = self._inputs
        gradient_CV = gradient_CV.to(weight_VD.dtype)
        if self.hidden_LD is not None:
            torch.mm(gradient_CV, weight_VD, out=self.hidden_LD[at])
        if self.weight_VD is not None:
            self.weight_VD.addmm_(gradient_CV.T, hidden_LD[at])
