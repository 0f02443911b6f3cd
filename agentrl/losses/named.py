"""The policy losses that a configuration can name, and which settings each has."""

import inspect
from collections.abc import Callable
from functools import cache
from types import NoneType
from typing import Any, get_args, get_type_hints

from agentrl.losses.covariance import clip_cov, kl_cov
from agentrl.losses.heterogeneous import hapo
from agentrl.losses.mirror_descent import mdpo
from agentrl.losses.off_policy import asym_re, likelihood, opmd, rec
from agentrl.losses.policy_gradient import PolicyLoss, policy_loss
from agentrl.losses.variants import cispo, gspo, sapo

NAMED: dict[str, Callable[..., PolicyLoss]] = {
    "ppo": policy_loss,
    "cispo": cispo,
    "gspo": gspo,
    "sapo": sapo,
    "clip_cov": clip_cov,
    "kl_cov": kl_cov,
    "rec": rec,
    "opmd": opmd,
    "asym_re": asym_re,
    "mdpo": mdpo,
    "hapo": hapo,
    "likelihood": likelihood,
}
"""Each is called with (logprobs, old_logprobs, advantages), shape (L,), the settings that it shares with others, the
columns of the batch that it asks for, and its own options."""

SHARED = ("ratio_level", "clip_low", "clip_high", "dual_clip", "detached", "keep_high_gradient")
"""Settings that several losses have: fields of `agentrl.algorithms.base.LossSettings`."""

COLUMNS = ("sequence_index", "turn_index", "uncertainty", "generator")
"""What losses take from the batch or the update."""

TENSORS = ("logprobs", "old_logprobs", "advantages", "mask")

OVER_BATCHES = ("clip_cov", "kl_cov", "gspo")
"""Losses of which a token's part depends on other tokens."""


@cache
def defaults_of(kind: str) -> dict[str, Any]:
    """Return the arguments of a loss that can be set, with their defaults."""
    parameters = inspect.signature(NAMED[kind]).parameters.items()
    return {name: parameter.default for name, parameter in parameters if name not in (*TENSORS, *COLUMNS)}


@cache
def columns_of(kind: str) -> frozenset[str]:
    """Return which of `COLUMNS` a loss takes."""
    return frozenset(COLUMNS) & frozenset(inspect.signature(NAMED[kind]).parameters)


@cache
def may_be_none(kind: str, name: str) -> bool:
    """Return whether a setting of a loss can be absent."""
    return NoneType in get_args(get_type_hints(NAMED[kind])[name])
