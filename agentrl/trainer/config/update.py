"""The sections about learning: which groups, which loss, and how policy and critic are optimised."""

from typing import Any, Literal

import pydantic
from pydantic import Field

from agentrl.algorithms.base import Aggregation
from agentrl.trainer.config.section import Section, fields_of
from agentrl.update.settings import CriticSettings, Precision, UpdateSettings


class FilterConfig(Section):
    """Which groups of an iteration are trained on."""

    name: Literal["none", "dynamic_sampling", "top_variance"] | None = Field(
        None, description="dynamic_sampling: returns differ; top_variance: they differ most; null suits the algorithm"
    )
    share: float = Field(0.25, gt=0, le=1, description="share of the groups to keep (top_variance only)")
    max_refills: int | None = Field(
        None,
        ge=0,
        description="how often dropped groups are replaced (dynamic_sampling only); null suits the algorithm",
    )


class LossConfig(Section):
    """Policy loss: keys that are given change the algorithm's. null: none, where a bound or a part can be absent."""

    kind: str | None = Field(None, description="another loss, with its own defaults; null: the algorithm's")
    options: dict[str, Any] = Field({}, description="further arguments of the loss, see docs/losses.md")
    ratio_level: Literal["token", "turn", "sequence"] | None = None
    aggregation: Aggregation | None = None
    divisor: float | None = Field(None, gt=0, description="k of aggregation constant that divides by episodes × k")
    clip_low: float | None = Field(None, ge=0, description="null: no lower bound")
    clip_high: float | None = Field(None, ge=0, description="null: no upper bound")
    dual_clip: float | None = Field(None, gt=1, description="null: no bound for negative advantages")
    detached: bool | None = Field(None, description="weigh log π by the clipped ratio, as CISPO does")
    keep_high_gradient: bool | None = Field(None, description="keep a bounded gradient above clip_high, as AEPO does")
    kl_coef: float | None = Field(None, ge=0)
    kl_kind: Literal["k1", "k2", "k3"] | None = None
    entropy_coef: float | None = None
    entropy_advantage: float | None = Field(None, ge=0, description="a of A (1 + a z), z the token's entropy")
    token_share: float | None = Field(None, gt=0, le=1, description="share of decisive tokens that are trained on")
    decision_coef: float | None = Field(
        None, gt=0, description="weight of turns' first tokens, averaged apart; null: not apart"
    )
    uncertainty_pivot: float | None = Field(
        None, ge=0, le=1, description="quantile of entropies above which a token is uncertain (kind hapo only)"
    )
    group_loss: Literal["drpo", "trpa", "p3o"] | None = Field(
        None, description="loss over groups, of algorithms whose advantages are returns"
    )
    group_options: dict[str, Any] = Field({}, description="its arguments")
    correction: Literal["tis", "icepop", "sequence_tis", "sequence_mask", "geometric_filter", "k3_filter"] | None = (
        Field(None, description="for tokens whose sampler differs (update.old_logprobs: recompute); null: none")
    )
    correction_low: float | None = Field(None, description="lower bound of its statistic; null: the usual one")
    correction_high: float | None = Field(None, description="upper bound of its statistic; null: the usual one")
    opsm: float | None = Field(
        None, description="drop A < 0 in sequences that moved further, nats a token (OPSM); null: none"
    )
    m2po: float | None = Field(
        None, ge=0, description="drop the largest (log r)² until their mean is this (M2PO); null: none"
    )

    @pydantic.model_serializer(mode="wrap")
    def _as_given(self, serialise: pydantic.SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what was not given: null would say something."""
        return {key: value for key, value in serialise(self).items() if key in self.model_fields_set}

    def changes(self) -> dict[str, Any]:
        """Return what was given, by field of the loss settings."""
        return {
            key: getattr(self, key)
            for key in self.model_fields_set
            if getattr(self, key) is not None or key in CAN_BE_NONE
        }


CAN_BE_NONE = frozenset(
    (
        *("divisor", "clip_low", "clip_high", "dual_clip", "decision_coef", "uncertainty_pivot", "group_loss"),
        *("correction", "correction_low", "correction_high", "opsm", "m2po"),
    )
)
"""Keys of the loss whose null says that there is none; a null of another key says nothing."""


class UpdateConfig(Section):
    """Optimisation of the policy."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    lr: float = Field(5e-4, gt=0, description="null: 5e-4 for a policy built from nothing, 1e-6 for one of policy.path")
    warmup_iterations: int = Field(0, ge=0)
    final_lr_share: float = Field(1.0, ge=0, le=1, description="linear down to this share of lr at the last iteration")
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    minibatches: int = Field(4, gt=0, description="updates per epoch over an iteration's turns")
    epochs: int = Field(1, gt=0)
    token_budget: int = Field(8192, gt=0, description="tokens per forward pass; larger batches accumulate")
    keep_groups: bool | None = Field(
        None, description="minibatches of whole groups; null: where their members share a tenth of their tokens"
    )
    merge_prefixes: Literal["auto", "always", "never"] = Field(
        "auto", description="compute what sequences share at their beginnings once; auto: where it saves enough"
    )
    old_logprobs: Literal["behavior", "recompute"] = Field(
        "behavior", description="the sampler's own log-probs, or a pass of the trainer before the update"
    )

    max_mismatch: float | None = Field(
        0.1, gt=0, description="a run stops where engine/mismatch is more, nats a token; null: it never does"
    )

    def settings(self, dtype: Precision) -> UpdateSettings:
        """Return what decides how updates are cut, packed and computed."""
        return UpdateSettings(**fields_of(UpdateSettings, self), dtype=dtype)


class CriticConfig(Section):
    """The critic of algorithms that need values; others have none. It starts as a copy of the policy.

    Its weights are its own, so that its loss has no weight beside the policy's: the learning rate is all there is.
    """

    optimizer: Literal["adamw", "muon"] = "adamw"
    lr: float = Field(
        1e-3, gt=0, description="null: 1e-3 beside a policy built from nothing, 1e-5 beside one of policy.path"
    )
    weight_decay: float = Field(0.0, ge=0)
    max_grad_norm: float = Field(1.0, gt=0)
    minibatches: int = Field(4, gt=0, description="updates per epoch over an iteration's episodes")
    epochs: int = Field(1, gt=0)
    clip: float | None = Field(None, gt=0, description="values gain nothing by moving further; null for no clip")
    warmup_iterations: int = Field(0, ge=0, description="first iterations, in which the policy waits for the critic")

    def settings(self) -> CriticSettings:
        """Return what decides how the critic learns."""
        return CriticSettings(**fields_of(CriticSettings, self))
