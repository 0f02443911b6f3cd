"""The policy losses that a configuration can name."""

from collections.abc import Callable

from agentrl.losses.heterogeneous import hapo
from agentrl.losses.mirror_descent import mdpo
from agentrl.losses.off_policy import asym_re, likelihood, opmd, rec
from agentrl.losses.policy_gradient import PolicyLoss, policy_loss
from agentrl.losses.variants import sapo

NAMED: dict[str, Callable[..., PolicyLoss]] = {
    "ppo": policy_loss,
    "sapo": sapo,
    "rec": rec,
    "opmd": opmd,
    "asym_re": asym_re,
    "mdpo": mdpo,
    "hapo": hapo,
    "likelihood": likelihood,
}
"""Each is called with (logprobs, old_logprobs, advantages), shape (L,), and its own options."""
