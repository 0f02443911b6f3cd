"""The loss of a critic: squared distance of values from their targets."""

import torch
from torch import Tensor


def value_loss(values: Tensor, targets: Tensor, old_values: Tensor, *, clip: float | None = None) -> Tensor:
    """Return the loss of each value, with a step away from the old value that pays no more than ``clip``.

        loss = ½ max((V - R)², (V_old + clip(V - V_old, ±ε) - R)²)

    Without ``clip`` it is ½ (V - R)². Source: the code of PPO (arXiv:1707.06347), not its text; arXiv:2006.05990,
    sec. 3.3 and B.1, finds no benefit in it.

    Args:
      values: V, the critic's, any shape.
      targets: R, same shape.
      old_values: V_old, before the iteration's first update.
      clip: ε, in units of the reward; None for no clip.

    Returns:
      same shape as ``values``.
    """
    loss = (values - targets).square()
    if clip is not None:
        near = old_values + (values - old_values).clamp(-clip, clip)
        loss = torch.maximum(loss, (near - targets).square())
    return 0.5 * loss
