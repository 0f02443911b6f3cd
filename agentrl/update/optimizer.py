"""AdamW or Muon with a schedule given by the caller, clipped by norm, gradients summed over processes."""

import math
from typing import Any, Literal

import torch

from agentrl.errors import DivergedError
from agentrl.update import distributed

Kind = Literal["adamw", "muon"]


class Optimizer:
    """AdamW or Muon over a model's trainable weights; ``step`` takes the learning rate of the moment.

    Muon (arXiv:2502.16982; torch's, with updates scaled to the size of AdamW's, so that learning rates carry over)
    orthogonalises the updates of hidden matrices; embeddings, head and norms stay with AdamW.

    Args:
      model: its trainable weights are optimised.
      kind: "adamw" or "muon".
      betas: of AdamW.
      weight_decay: of matrices.
      max_grad_norm: the global gradient norm is clipped to it.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        *,
        kind: Kind = "adamw",
        betas: tuple[float, float] = (0.9, 0.95),
        weight_decay: float = 0.0,
        max_grad_norm: float = 1.0,
    ) -> None:
        self.parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.max_grad_norm = max_grad_norm
        hidden = _hidden_matrices(model) if kind == "muon" else []
        taken = {id(parameter) for parameter in hidden}
        rest = [parameter for parameter in self.parameters if id(parameter) not in taken]
        groups = [
            {"params": [p for p in rest if p.dim() > 1], "weight_decay": weight_decay},
            {"params": [p for p in rest if p.dim() <= 1], "weight_decay": 0.0},
        ]
        self._parts: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=0.0, betas=betas, fused=True)]
        if hidden:
            muon = torch.optim.Muon(hidden, lr=0.0, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
            self._parts.append(muon)

    def step(self, lr: float) -> float:
        """Sum gradients over processes, clip, update, clear; return the gradient norm before clipping.

        Every process raises alike, since each has the sum of the gradients and the same weights.

        Raises:
          DivergedError: the gradient is not finite, and the weights are left as they were; or the weights are not, or
            too large for a norm in their dtype, after the update.
        """
        distributed.sum_gradients(self.parameters)
        norm = float(torch.nn.utils.clip_grad_norm_(self.parameters, self.max_grad_norm))
        for part in self._parts:
            if math.isfinite(norm):
                for group in part.param_groups:
                    group["lr"] = lr
                part.step()
            part.zero_grad(set_to_none=True)
        check_finite("norm of the gradient", norm)
        check_finite("norm of the weights", float(torch.nn.utils.get_total_norm(self.parameters)), f" after lr {lr:g}")
        return norm

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the moments."""
        return {"parts": [part.state_dict() for part in self._parts]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state from `state_dict`."""
        for part, saved in zip(self._parts, state["parts"], strict=True):
            part.load_state_dict(saved)


def check_finite(what: str, value: float, when: str = "") -> float:
    """Return the value.

    Raises:
      DivergedError: it is not finite; names it.
    """
    if not math.isfinite(value):
        raise DivergedError(
            f"the {what} is {value}{when}: the training has diverged; lower the learning rate, or look at the rewards"
        )
    return value


def _hidden_matrices(model: torch.nn.Module) -> list[torch.nn.Parameter]:
    """Return the trainable matrices of a model but its embeddings and its head."""
    outer = {id(p) for module in model.modules() if isinstance(module, torch.nn.Embedding) for p in module.parameters()}
    head = getattr(model, "get_output_embeddings", lambda: None)()
    if head is not None:
        outer |= {id(parameter) for parameter in head.parameters()}
    return [p for p in model.parameters() if p.requires_grad and p.dim() == 2 and id(p) not in outer]


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
