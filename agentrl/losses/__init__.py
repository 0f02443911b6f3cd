"""Losses on flat packed tokens: pure torch functions of log-probs, advantages and masks.

A loss gives one number per token; `aggregate` reduces them. Axis suffix: ``_L`` tokens of a packed batch.
"""

from agentrl.losses.aggregate import aggregate as aggregate
from agentrl.losses.aggregate import decision_weights as decision_weights
from agentrl.losses.aggregate import token_weights as token_weights
from agentrl.losses.covariance import clip_cov as clip_cov
from agentrl.losses.covariance import kl_cov as kl_cov
from agentrl.losses.entropy_balanced import entropy_aware_advantages as entropy_aware_advantages
from agentrl.losses.entropy_balanced import top_tokens as top_tokens
from agentrl.losses.grouped import Members as Members
from agentrl.losses.grouped import drpo as drpo
from agentrl.losses.grouped import group_gradient as group_gradient
from agentrl.losses.grouped import p3o as p3o
from agentrl.losses.grouped import trpa as trpa
from agentrl.losses.head import Head as Head
from agentrl.losses.head import fused_loss as fused_loss
from agentrl.losses.head import token_logprobs as token_logprobs
from agentrl.losses.heterogeneous import hapo as hapo
from agentrl.losses.heterogeneous import relative_uncertainty as relative_uncertainty
from agentrl.losses.kl import entropy_bonus as entropy_bonus
from agentrl.losses.kl import kl_penalty as kl_penalty
from agentrl.losses.mirror_descent import mdpo as mdpo
from agentrl.losses.mismatch import mismatch_weights as mismatch_weights
from agentrl.losses.mismatch import off_policy_sequence_mask as off_policy_sequence_mask
from agentrl.losses.mismatch import second_moment_mask as second_moment_mask
from agentrl.losses.named import NAMED as NAMED
from agentrl.losses.off_policy import asym_re as asym_re
from agentrl.losses.off_policy import likelihood as likelihood
from agentrl.losses.off_policy import opmd as opmd
from agentrl.losses.off_policy import rec as rec
from agentrl.losses.policy_gradient import PolicyLoss as PolicyLoss
from agentrl.losses.policy_gradient import policy_loss as policy_loss
from agentrl.losses.ratio import log_ratio as log_ratio
from agentrl.losses.value import value_loss as value_loss
from agentrl.losses.variants import aepo as aepo
from agentrl.losses.variants import cispo as cispo
from agentrl.losses.variants import gspo as gspo
from agentrl.losses.variants import loop as loop
from agentrl.losses.variants import sapo as sapo
