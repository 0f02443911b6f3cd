"""The gradient of a policy loss through the vocabulary head, which never holds the logits of more than a chunk.

Axis suffixes: ``_A`` scored tokens of a batch, ``_Q`` the distinct ones among them, ``_C`` those of one chunk.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from agentrl.losses import Head, fused_loss, token_logprobs
from agentrl.update.batch import Batch

BatchLoss = Callable[[Tensor, Tensor, Tensor | slice], Tensor]
"""(log-probs, entropies, which scored tokens of the batch) -> weighted loss of each: the total is the sum."""

LOGITS = {"cpu": 2**23, "cuda": 2**27}
"""Logits that exist at a time, by the kind of device: enough to keep it busy."""

MOST_POSITIONS = 1024


def chunk_of(head: Head) -> int:
    """Return how many positions are computed at a time."""
    logits = LOGITS.get(head.weight_VD.device.type, LOGITS["cuda"])
    return max(16, min(MOST_POSITIONS, logits // len(head.weight_VD)))


def head_loss(
    hidden_QH: Tensor, head: Head, batch: Batch, loss: BatchLoss, *, temperature: float, is_per_token: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Return a batch's loss, differentiable by hidden states and head, and detached log-probs and entropies, (A,).

    A loss that is a sum over tokens, each of its own log-prob and entropy, takes the 3 products with the vocabulary
    that keeping all logits would take: its slopes are known chunk by chunk. Any other takes 4: its slopes come from a
    first pass over all tokens, unless one chunk holds them all.

    Args:
      hidden_QH: before each distinct scored token.
      head: of the model.
      batch: what they were computed from.
      loss: called with tensors that require a gradient; must not look at the parameters.
      temperature: of the softmax.
      is_per_token: whether ``loss`` may be given some of the tokens at a time.
    """
    chunk = chunk_of(head)
    if is_per_token or len(hidden_QH) <= chunk:

        def chunk_loss(logprobs_C: Tensor, entropies_C: Tensor, at: slice) -> Tensor:
            at_A = batch.of_questions(at)
            question_A = batch.question_A[at_A] - at.start
            return loss(logprobs_C.index_select(0, question_A), entropies_C.index_select(0, question_A), at_A)

        total, *both_Q = fused_loss(hidden_QH, head, batch.targets_Q, chunk_loss, temperature=temperature, chunk=chunk)
        return total, both_Q[0].index_select(0, batch.question_A), both_Q[1].index_select(0, batch.question_A)
    with torch.no_grad():
        first_Q = token_logprobs(hidden_QH, head, batch.targets_Q, temperature=temperature, chunk=chunk)
    leaves_Q = [column_Q.requires_grad_() for column_Q in first_Q]
    logprobs_A, entropies_A = (leaf_Q.index_select(0, batch.question_A) for leaf_Q in leaves_Q)
    value = loss(logprobs_A, entropies_A, slice(None)).sum()
    slope_Q, entropy_slope_Q = torch.autograd.grad(value, leaves_Q, allow_unused=True, materialize_grads=True)
    total, *_ = fused_loss(
        hidden_QH,
        head,
        batch.targets_Q,
        lambda logprobs_C, entropies_C, at: slope_Q[at] * logprobs_C + entropy_slope_Q[at] * entropies_C,
        temperature=temperature,
        chunk=chunk,
    )
    return total + (value - total).detach(), logprobs_A.detach(), entropies_A.detach()
