"""What decides how updates are cut and packed. A run's configuration is made of the same fields."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bfloat16"]
"""What forward and backward passes compute in. Weights, gradients and moments are float32 in either case."""


@dataclass(frozen=True, slots=True)
class UpdateSettings:
    """How an iteration's samples become updates of the policy.

    Attributes:
      minibatches: updates per epoch.
      epochs: passes over the samples.
      token_budget: tokens per forward pass; larger batches accumulate.
      merge_prefixes: compute what sequences share at their beginnings once; "auto" where it saves enough.
      old_logprobs: the sampler's own, or of a pass of the trainer before the update.
      dtype: of the passes; of the critic's too.
      max_mismatch: largest mean difference of sampler's and trainer's log-probs, nats a token; None for any.
    """

    minibatches: int = 4
    epochs: int = 1
    token_budget: int = 8192
    merge_prefixes: Literal["auto", "always", "never"] = "auto"
    old_logprobs: Literal["behavior", "recompute"] = "behavior"
    dtype: Precision = "float32"
    max_mismatch: float | None = None


@dataclass(frozen=True, slots=True)
class CriticSettings:
    """How the critic learns.

    Attributes:
      optimizer: "adamw" or "muon".
      lr: its learning rate.
      weight_decay: of matrices.
      max_grad_norm: the global gradient norm is clipped to it.
      minibatches: updates per epoch.
      epochs: passes over the samples.
      clip: values gain nothing by moving further; None for no clip.
    """

    optimizer: Literal["adamw", "muon"] = "adamw"
    lr: float = 1e-3
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    minibatches: int = 4
    epochs: int = 1
    clip: float | None = None
