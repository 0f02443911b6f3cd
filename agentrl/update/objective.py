"""What is minimised: the policy loss of each token with its corrections, the divergence and the entropy bonus.

Axis suffix: ``_A`` scored tokens of a batch.
"""

import torch
from torch import Tensor

from agentrl.algorithms.base import LossSettings
from agentrl.losses import (
    NAMED,
    PolicyLoss,
    kl_penalty,
    mismatch_weights,
    off_policy_sequence_mask,
    second_moment_mask,
)
from agentrl.losses.named import OVER_BATCHES, SHARED, columns_of, defaults_of
from agentrl.update.batch import Batch


def is_per_token(loss: LossSettings) -> bool:
    """Return whether a token's loss depends on no other token of the batch, so that it may be cut anywhere."""
    shares_ratio = "ratio_level" in defaults_of(loss.kind) and loss.ratio_level != "token"
    shares_weight = loss.correction not in (None, "tis", "icepop") or loss.opsm is not None or loss.m2po is not None
    return not (shares_ratio or shares_weight or loss.kind in OVER_BATCHES)


def policy_term(
    loss: LossSettings, logprobs_A: Tensor, batch: Batch, generator: torch.Generator | None = None
) -> PolicyLoss:
    """Return the algorithm's policy loss of each scored token, shape (A,), and metrics.

    ``generator`` is what clip_cov draws its tokens with; None begins one of its own.
    """
    shared = {name: getattr(loss, name) for name in SHARED if name in defaults_of(loss.kind)}
    columns = {"sequence_index": batch.sequence_A, "turn_index": batch.row_A, "uncertainty": batch.uncertainty_A}
    taken = {name: column for name, column in columns.items() if name in columns_of(loss.kind)}
    if "generator" in columns_of(loss.kind):
        taken["generator"] = generator or torch.Generator()  # type: ignore[assignment]
    return NAMED[loss.kind](
        logprobs_A, batch.old_logprobs_A, batch.advantages_A, **shared, **taken, **dict(loss.options)
    )


@torch.no_grad()
def correction_weights(loss: LossSettings, logprobs_A: Tensor, batch: Batch) -> Tensor | None:
    """Return what the policy loss of each token is multiplied with, shape (A,); None where nothing is corrected.

    Statistics over tokens are those of the batch given, a micro-batch of the update, as in the public codes.
    """
    weights = []
    if loss.correction is not None:
        weights.append(
            mismatch_weights(
                batch.old_logprobs_A,
                batch.behavior_logprobs_A,
                kind=loss.correction,
                low=loss.correction_low,
                high=loss.correction_high,
                sequence_index=batch.sequence_A,
            )
        )
    if loss.opsm is not None:
        weights.append(
            off_policy_sequence_mask(
                logprobs_A,
                batch.old_logprobs_A,
                batch.advantages_A,
                sequence_index=batch.sequence_A,
                threshold=loss.opsm,
            )
        )
    if loss.m2po is not None:
        weights.append(second_moment_mask(logprobs_A, batch.old_logprobs_A, threshold=loss.m2po))
    return torch.stack(weights).prod(0) if weights else None


def token_losses(
    loss: LossSettings,
    logprobs_A: Tensor,
    entropies_A: Tensor,
    batch: Batch,
    ref_logprobs_A: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> PolicyLoss:
    """Return the loss of each scored token, divergence and entropy terms included, and metrics."""
    loss_A, metrics = policy_term(loss, logprobs_A, batch, generator)
    weight_A = correction_weights(loss, logprobs_A, batch)
    if weight_A is not None:
        loss_A = loss_A * weight_A
        metrics["correction"] = weight_A.mean()
    if ref_logprobs_A is not None:
        kl_A = kl_penalty(logprobs_A, ref_logprobs_A, kind=loss.kl_kind)
        loss_A = loss_A + loss.kl_coef * kl_A
        metrics["ref_kl"] = kl_A.detach().mean()
    if loss.entropy_coef:
        loss_A = loss_A - loss.entropy_coef * entropies_A
    return PolicyLoss(loss_A, metrics | {"loss": loss_A.detach().mean(), "entropy": entropies_A.detach().mean()})
