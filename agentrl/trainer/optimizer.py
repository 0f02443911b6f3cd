"""AdamW with a schedule given by the caller, global gradient norm, and gradients summed over processes."""

import math
from collections.abc import Iterable

import torch

from agentrl.trainer import distributed


class Optimizer:
    """AdamW over a model's trainable weights; ``step`` takes the learning rate of the moment."""

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter],
        *,
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
        max_grad_norm: float = 1.0,
    ) -> None:
        self.parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self.max_grad_norm = max_grad_norm
        self.adamw = torch.optim.AdamW(
            [
                {"params": [p for p in self.parameters if p.dim() > 1], "weight_decay": weight_decay},
                {"params": [p for p in self.parameters if p.dim() <= 1], "weight_decay": 0.0},
            ],
            lr=0.0,
            betas=betas,
            fused=True,
        )

    def step(self, lr: float) -> float:
        """Sum gradients over processes, clip, update, clear; return the gradient norm before clipping.

        An update whose gradient is not finite is skipped (and reported by the returned norm).
        """
        distributed.sum_gradients(self.parameters)
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm))
        if math.isfinite(norm):
            for group in self.adamw.param_groups:
                group["lr"] = lr
            self.adamw.step()
        self.adamw.zero_grad(set_to_none=True)
        return norm


def cosine(step: int, total: int, lr: float, warmup: int, final_share: float) -> float:
    """Learning rate: linear up over ``warmup`` steps, then half a cosine down to ``final_share`` of ``lr``."""
    if step < warmup:
        return lr * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return lr * (final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * progress)))


def linear(step: int, total: int, lr: float, warmup: int, final_share: float) -> float:
    """Learning rate: linear up over ``warmup`` steps, then linear down to ``final_share`` of ``lr``."""
    if step < warmup:
        return lr * (step + 1) / warmup
    progress = min(1.0, (step - warmup) / max(1, total - warmup))
    return lr * (1 + (final_share - 1) * progress)
