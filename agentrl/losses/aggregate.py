"""From a loss per token to a number: every average is a sum with weights that are known before the batch is cut.

Axis suffix: ``_L`` tokens of a packed batch.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

from agentrl.errors import ConfigError, check_choice
from agentrl.losses.ratio import segment_sum, whole

Aggregation = Literal["token_mean", "sequence_mean", "episode_mean", "group_mean", "constant"]


def token_weights(
    mask: Tensor,
    *,
    mode: Aggregation = "token_mean",
    denominator: float | Tensor | None = None,
    sequence_index: Tensor | None = None,
    episode_index: Tensor | None = None,
    group_index: Tensor | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Weight of each token's loss in the total, which is then Σ weight · loss.

    Over the whole batch of an update, with M tokens in the mask:

        token_mean      1 / M                                  every token counts the same (DAPO, arXiv:2503.14476)
        sequence_mean   1 / (tokens of its sequence × sequences)      every sequence counts the same (GSPO, SAPO)
        episode_mean    1 / (tokens of its episode × episodes)        every episode counts the same (GRPO's paper, LOOP)
        group_mean      1 / (tokens of its group × groups)            every task counts the same
        constant        1 / denominator                        length does not count (Dr. GRPO, arXiv:2503.20783)

    A sequence is what the model reads at once: an episode, or one of its turns. With episodes × k for denominator,
    "constant" is the normaliser 1/k of AsyncWebRL (arXiv:2606.05597, k = 10 turns).

    Compute the weights once per update and cut them with the batch: the sum of the micro-batches' losses, and of their
    gradients, then does not depend on the cut. Or give ``denominator`` (tokens, sequences, episodes or groups
    of the whole batch) to compute them per micro-batch; what is averaged over must then not be cut itself.

    Args:
      mask: bool, tokens that count; the others get weight 0. Sequences, episodes, groups without any do not count.
      mode: see above.
      denominator: the count to divide by; None for the one of this batch. Required for "constant".
      sequence_index, episode_index, group_index: int64 number of each token's, for the mean over them.
      dtype: of the weights.

    Raises:
      ConfigError: unknown mode, a missing index or denominator, or a denominator that is not positive.
    """
    check_choice("aggregation mode", mode, get_args(Aggregation))
    if denominator is not None and denominator <= 0:
        raise ConfigError(
            f"denominator is {float(denominator)}: it counts tokens, sequences, episodes or groups, so it is positive"
        )
    weight_L = mask.to(dtype)
    if mode in ("token_mean", "constant"):
        if mode == "constant" and denominator is None:
            raise ConfigError("mode 'constant' needs denominator, for example sequences × most tokens of one")
        return weight_L / (weight_L.sum().clamp(min=1.0) if denominator is None else denominator)
    name = mode.removesuffix("_mean")
    index_L = {"sequence": sequence_index, "episode": episode_index, "group": group_index}[name]
    if index_L is None:
        raise ConfigError(f"mode {mode!r} needs {name}_index: the {name} number of each token")
    within_L = weight_L / segment_sum(weight_L, index_L, mask).clamp(min=1.0)
    # each segment adds up to 1, so the sum of all counts the segments
    return within_L / (within_L.sum().clamp(min=1.0) if denominator is None else denominator)


def aggregate(
    losses: Tensor,
    mask: Tensor | None = None,
    *,
    mode: Aggregation = "token_mean",
    denominator: float | Tensor | None = None,
    sequence_index: Tensor | None = None,
    episode_index: Tensor | None = None,
    group_index: Tensor | None = None,
) -> Tensor:
    """Reduce a loss per token to a 0-d tensor: Σ `token_weights` · loss.

    A batch without tokens gives 0 and still touches the parameters, which keeps distributed ranks in step.
    """
    mask_L = whole(mask, losses)
    weight_L = token_weights(
        mask_L,
        mode=mode,
        denominator=denominator,
        sequence_index=sequence_index,
        episode_index=episode_index,
        group_index=group_index,
        dtype=losses.dtype,
    )
    return (torch.where(mask_L, losses, 0.0) * weight_L).sum()


def decision_weights(
    mask: Tensor,
    is_decision: Tensor,
    *,
    coefficient: float = 1e-3,
    num_decisions: int | None = None,
    num_others: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Weights that average decision tokens and all others apart: α · mean over decisions + mean over the rest.

    A decision token chooses between ways of going on (think or not, which tool); averaged with the rest, its weight
    would depend on their number. The total loss is Σ weight · loss. Paper: Thinkless (DeGRPO), arXiv:2505.13379, where
    the first token of each response decides.

    Args:
      mask: bool, tokens that count.
      is_decision: bool, which of them decide.
      coefficient: α.
      num_decisions, num_others: tokens of each kind in the whole batch, if this is a part; None for those of this one.
      dtype: of the weights.
    """
    decisions_L, others_L = mask & is_decision, mask & ~is_decision
    decision_L = token_weights(decisions_L, denominator=num_decisions, dtype=dtype)
    return coefficient * decision_L + token_weights(others_L, denominator=num_others, dtype=dtype)
