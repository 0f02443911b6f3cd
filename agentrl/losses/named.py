"""The policy losses that a configuration can name."""

from collections.abc import Callable

from agentrl.losses.off_policy import asym_re, opmd, rec
from agentrl.losses.policy_gradient import PolicyLoss, policy_loss
from agentrl.losses.variants import sapo

NAMED: dict[str, Callable[..., PolicyLoss]] = {
    "ppo": policy_loss,
    "sapo": sapo,
    "rec": rec,
    "opmd": opmd,
    "asym_re": asym_re,
}
"""Each is called with (logprobs, old_logprobs, advantages), shape (L,), and its own options."""
