"""The fused attention of CPUs, called by its name for what the public function keeps back: the scores' log-sum-exp.

With it the attention over a union of positions follows from that over its parts: with o the output and z the log of
the normaliser of each part,

    z = log Σᵢ exp zᵢ,   o = Σᵢ exp(zᵢ - z) oᵢ

(FlashAttention, arXiv:2205.14135, section 3.1). The kernels want the last axis of everything contiguous.
"""

import torch
from torch import Tensor

forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
"""(query, key, value, dropout, is_causal, attn_mask=, scale=) of (B, H, T, D) -> o (B, H, T, D), z (B, H, T)."""
backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
"""(slope, query, key, value, o, z, dropout, is_causal, scale=) -> gradients of query, key and value."""


def merge(outs: Tensor, masses: Tensor, more_outs: Tensor, more_masses: Tensor) -> None:
    """Take another part into o (..., D) and z (...), in place."""
    share = torch.sigmoid(more_masses - masses)[..., None]  # exp(z₂) / (exp(z₁) + exp(z₂))
    outs.lerp_(more_outs, share.to(outs.dtype))
    torch.logaddexp(masses, more_masses, out=masses)
