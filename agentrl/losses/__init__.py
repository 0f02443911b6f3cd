"""Losses on flat packed tokens: pure torch functions of log-probs, advantages and masks.

A loss gives one number per token; `aggregate` reduces them. Axis suffix: ``_L`` tokens of a packed batch.
"""

from agentrl.losses.aggregate import aggregate as aggregate
from agentrl.losses.aggregate import token_weights as token_weights
from agentrl.losses.head import fused_loss as fused_loss
from agentrl.losses.head import token_logprobs as token_logprobs
from agentrl.losses.kl import entropy_bonus as entropy_bonus
from agentrl.losses.kl import kl_penalty as kl_penalty
from agentrl.losses.policy_gradient import PolicyLoss as PolicyLoss
from agentrl.losses.policy_gradient import policy_loss as policy_loss
from agentrl.losses.ratio import log_ratio as log_ratio
