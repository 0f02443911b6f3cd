"""The vocabulary head without the full logits: log-probs and entropies of chosen tokens, a few rows at a time.

Axis suffixes: ``_L`` positions, ``_C`` positions of one chunk, ``_V`` vocabulary, ``_D`` hidden size.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

TokenLoss = Callable[[Tensor, Tensor, slice], Tensor]
"""(log-probs, entropies, which positions) -> loss of each, already weighted: the total is the sum."""


@dataclass(frozen=True, slots=True)
class Head:
    """How a model turns a hidden state h into logits.

        z = scale · (W h + b),   logits = softcap · tanh(z / softcap), or z without one

    Attributes:
      weight_VD: W.
      bias_V: b; None without one.
      scale: of the scores.
      softcap: bound that the logits approach; None without one.
    """

    weight_VD: Tensor
    bias_V: Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None

    def logits(self, hidden_LD: Tensor) -> Tensor:
        """Return the logits, shape (L, V), float32 (float64 for float64 input).

        The product is computed in the dtype of the hidden states, whatever that of the weight is.
        """
        head = self.to(hidden_LD.dtype)
        scores_LV = torch.nn.functional.linear(hidden_LD, head.weight_VD, head.bias_V)
        scores_LV = scores_LV.to(_working_dtype(hidden_LD))
        if self.scale != 1.0:
            scores_LV = scores_LV * self.scale
        return scores_LV if self.softcap is None else self.softcap * torch.tanh(scores_LV / self.softcap)

    def to(self, dtype: torch.dtype) -> "Head":
        """Return the head with weight and bias in ``dtype``."""
        bias_V = None if self.bias_V is None else self.bias_V.to(dtype)
        return replace(self, weight_VD=self.weight_VD.to(dtype), bias_V=bias_V)

    def slope(self, logits_CV: Tensor) -> Tensor | float:
        """Return the derivative of the logits by W h + b, given the logits: scale · (1 - (logits / softcap)²)."""
        return self.scale if self.softcap is None else (1.0 - (logits_CV / self.softcap).square_()).mul_(self.scale)


def token_logprobs(
    hidden_LD: Tensor, head: Head | Tensor, targets_L: Tensor, *, temperature: float = 1.0, chunk: int = 128
) -> tuple[Tensor, Tensor]:
    """Return log π(target) and the entropy of π at each position, π = softmax(logits / temperature).

    Both are differentiable with respect to hidden, weight and bias. Only ``chunk`` × V logits exist at a time: the
    backward pass computes them again (4 products with the vocabulary in all, where keeping the logits would take 3).
    Products are computed in the dtype of the hidden states; the gradients of weight and bias add up in their own.

    Args:
      hidden_LD: last hidden states of the positions *before* the targets.
      head: makes the logits; a tensor (V, D) is the weight of one without bias, scale and softcap.
      targets_L: int64 token ids.
      temperature: of the softmax, more than 0.
      chunk: positions at a time.

    Returns:
      (log-probs, entropies), each (L,), nats, float32 (float64 for float64 input).
    """
    both: tuple[Tensor, Tensor] = _Recomputed.apply(  # type: ignore[no-untyped-call]
        hidden_LD, *_parts(head), targets_L, temperature, chunk
    )
    return both


def fused_loss(
    hidden_LD: Tensor,
    head: Head | Tensor,
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

        ∂log π(y)/∂z = onehot(y) - π,   ∂H/∂z = -π (log π + H),   z = logits / temperature

    Args:
      hidden_LD: as in `token_logprobs`.
      head: likewise.
      targets_L: likewise.
      token_loss: called once per chunk with tensors that require a gradient; must not look at the parameters.
      temperature: of the softmax.
      chunk: positions at a time.

    Returns:
      (loss, 0-d; log-probs (L,); entropies (L,)). Its backward pass hands the gradients over, so it can be run once.
    """
    result: tuple[Tensor, Tensor, Tensor] = _Fused.apply(  # type: ignore[no-untyped-call]
        hidden_LD, *_parts(head), targets_L, token_loss, temperature, chunk
    )
    return result


def _parts(head: Head | Tensor) -> tuple[Tensor, Tensor | None, tuple[float, float | None]]:
    """Return weight, bias and (scale, softcap)."""
    head = Head(head) if isinstance(head, Tensor) else head
    return head.weight_VD, head.bias_V, (head.scale, head.softcap)


def _chunks(length: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, length)) for start in range(0, length, size))


def _working_dtype(hidden_LD: Tensor) -> torch.dtype:
    return torch.float64 if hidden_LD.dtype == torch.float64 else torch.float32


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The distributions at some positions.

    Attributes:
      p_CV: probabilities.
      logp_CV: their logs.
      logprob_C: that of the target.
      entropy_C: in nats.
      slope: derivative of logits / temperature with respect to the scores W h + b.
    """

    p_CV: Tensor
    logp_CV: Tensor
    target_C: Tensor
    logprob_C: Tensor
    entropy_C: Tensor
    slope: Tensor | float

    @classmethod
    def of(cls, hidden_CD: Tensor, head: Head, target_C: Tensor, temperature: float) -> "_Chunk":
        logits_CV = head.logits(hidden_CD)
        slope = head.slope(logits_CV)
        if temperature != 1.0:
            logits_CV /= temperature
            slope /= temperature
        logp_CV = torch.log_softmax(logits_CV, dim=-1)
        p_CV = torch.exp(logp_CV, out=logits_CV)  # nobody reads the logits again: two of this size exist, not three
        entropy_C = -torch.linalg.vecdot(p_CV, logp_CV)
        return cls(p_CV, logp_CV, target_C, logp_CV.gather(1, target_C[:, None])[:, 0], entropy_C, slope)

    def scores_gradient(self, slope_logprob_C: Tensor, slope_entropy_C: Tensor) -> Tensor:
        """Return the gradient of the scores, given the slopes of the loss in log-prob and entropy. Overwrites p, logp.

        Of logits / temperature: -a π - b π (log π + H) + a onehot = -π (a + b H + b log π) + a onehot
        """
        if not isinstance(self.slope, Tensor):
            slope_logprob_C, slope_entropy_C = slope_logprob_C * self.slope, slope_entropy_C * self.slope
        constant_C1 = (slope_logprob_C + slope_entropy_C * self.entropy_C)[:, None]
        gradient_CV = self.logp_CV.mul_(slope_entropy_C[:, None]).add_(constant_C1).mul_(self.p_CV).neg_()
        gradient_CV.scatter_add_(1, self.target_C[:, None], slope_logprob_C[:, None])
        return gradient_CV.mul_(self.slope) if isinstance(self.slope, Tensor) else gradient_CV


class _Recomputed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_LD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        shape: tuple[float, float | None],
        targets_L: Tensor,
        temperature: float,
        chunk: int,
    ) -> tuple[Tensor, Tensor]:
        head = Head(weight_VD, bias_V, *shape).to(hidden_LD.dtype)
        logprobs_L = hidden_LD.new_empty(len(hidden_LD), dtype=_working_dtype(hidden_LD))
        entropies_L = torch.empty_like(logprobs_L)
        for at in _chunks(len(hidden_LD), chunk):
            part = _Chunk.of(hidden_LD[at], head, targets_L[at], temperature)
            logprobs_L[at], entropies_L[at] = part.logprob_C, part.entropy_C
        ctx.save_for_backward(hidden_LD, weight_VD, bias_V, targets_L)
        ctx.shape, ctx.temperature, ctx.chunk = shape, temperature, chunk
        return logprobs_L, entropies_L

    @staticmethod
    def backward(ctx: Any, *slopes_L: Tensor) -> tuple[Tensor | None, ...]:
        hidden_LD, weight_VD, bias_V, targets_L = ctx.saved_tensors
        head = Head(weight_VD, bias_V, *ctx.shape).to(hidden_LD.dtype)
        gradients = _HeadGradients(hidden_LD, head, weight_VD.dtype, ctx.needs_input_grad)
        for at in _chunks(len(hidden_LD), ctx.chunk):
            part = _Chunk.of(hidden_LD[at], head, targets_L[at], ctx.temperature)
            gradients.add(at, part.scores_gradient(*(slope_L[at] for slope_L in slopes_L)))
        return gradients.hidden_LD, gradients.weight_VD, gradients.bias_V, None, None, None, None


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_LD: Tensor,
        weight_VD: Tensor,
        bias_V: Tensor | None,
        shape: tuple[float, float | None],
        targets_L: Tensor,
        token_loss: TokenLoss,
        temperature: float,
        chunk: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        head = Head(weight_VD, bias_V, *shape).to(hidden_LD.dtype)
        logprobs_L = hidden_LD.new_empty(len(hidden_LD), dtype=_working_dtype(hidden_LD))
        entropies_L = torch.empty_like(logprobs_L)
        loss = logprobs_L.new_zeros(())
        gradients = _HeadGradients(hidden_LD, head, weight_VD.dtype, ctx.needs_input_grad)
        for at in _chunks(len(hidden_LD), chunk):
            part = _Chunk.of(hidden_LD[at], head, targets_L[at], temperature)
            logprobs_L[at], entropies_L[at] = part.logprob_C, part.entropy_C
            with torch.enable_grad():
                inputs = part.logprob_C.detach().requires_grad_(), part.entropy_C.detach().requires_grad_()
                chunk_loss = token_loss(*inputs, at).sum()
                slopes_C = torch.autograd.grad(chunk_loss, inputs, allow_unused=True, materialize_grads=True)
            loss += chunk_loss.detach()
            gradients.add(at, part.scores_gradient(*slopes_C))
        ctx.gradients = gradients
        ctx.mark_non_differentiable(logprobs_L, entropies_L)
        return loss, logprobs_L, entropies_L

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:
            raise RuntimeError("the gradient of a fused loss was handed over: its backward pass can be run once")
        parts = gradients.hidden_LD, gradients.weight_VD, gradients.bias_V
        scaled = (None if g is None else g.mul_(slopes[0].to(g.dtype)) for g in parts)
        return *scaled, None, None, None, None, None


class _HeadGradients:
    """The gradients of hidden states, weight and bias, filled chunk by chunk; None where not needed."""

    def __init__(self, hidden_LD: Tensor, head: Head, dtype: torch.dtype, needed: tuple[bool, ...]) -> None:
        self._inputs = hidden_LD, head.weight_VD
        self.hidden_LD = torch.empty_like(hidden_LD) if needed[0] else None
        self.weight_VD = torch.zeros_like(head.weight_VD, dtype=dtype) if needed[1] else None
        self.bias_V = torch.zeros_like(head.bias_V, dtype=dtype) if head.bias_V is not None and needed[2] else None

    def add(self, at: slice, gradient_CV: Tensor) -> None:
        hidden_LD, weight_VD = self._inputs
        if self.bias_V is not None:
            self.bias_V += gradient_CV.sum(0)
        gradient_CV = gradient_CV.to(weight_VD.dtype)
        if self.hidden_LD is not None:
            torch.mm(gradient_CV, weight_VD, out=self.hidden_LD[at])
        if self.weight_VD is not None and self.weight_VD.dtype == weight_VD.dtype:
            self.weight_VD.addmm_(gradient_CV.T, hidden_LD[at])
        elif self.weight_VD is not None:
            self.weight_VD += gradient_CV.T @ hidden_LD[at]
