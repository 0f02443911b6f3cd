"""The family of Llama: which parameter does what, and which models are of it and nothing more.

Their passes are written out elsewhere, over the model's own parameters (nothing is copied, so nothing can be stale).
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn import Linear
from transformers import LlamaForCausalLM, LlamaModel, Qwen2ForCausalLM, Qwen2Model, Qwen3ForCausalLM, Qwen3Model

_FAMILY = (LlamaForCausalLM, LlamaModel, Qwen2ForCausalLM, Qwen2Model, Qwen3ForCausalLM, Qwen3Model)

Affine = tuple[Tensor, Tensor | None]
"""Weight and bias."""


def affine(module: Any) -> Affine:
    """Return weight and bias of a linear layer."""
    return module.weight, module.bias


@dataclass(frozen=True, slots=True)
class Layer:
    """The parameters of one decoder layer."""

    input_norm: Tensor
    query: Affine
    key: Affine
    value: Affine
    query_norm: Tensor | None
    key_norm: Tensor | None
    output: Affine
    post_norm: Tensor
    gate: Affine
    up: Affine
    down: Affine

    @classmethod
    def of(cls, layer: Any) -> "Layer":
        """Return those of a module."""
        attention, mlp = layer.self_attn, layer.mlp
        return cls(
            input_norm=layer.input_layernorm.weight,
            query=affine(attention.q_proj),
            key=affine(attention.k_proj),
            value=affine(attention.v_proj),
            query_norm=attention.q_norm.weight if hasattr(attention, "q_norm") else None,
            key_norm=attention.k_norm.weight if hasattr(attention, "k_norm") else None,
            output=affine(attention.o_proj),
            post_norm=layer.post_attention_layernorm.weight,
            gate=affine(mlp.gate_proj),
            up=affine(mlp.up_proj),
            down=affine(mlp.down_proj),
        )


def is_bare(model: Any) -> bool:
    """Tell whether ``model`` is of the family with nothing added: no windows, adapters, quantisation, hooks."""
    if type(model) not in _FAMILY or model.config.hidden_act != "silu":
        return False
    if set(getattr(model.config, "layer_types", None) or []) - {"full_attention"}:
        return False
    for name, module in model.named_modules():
        is_projection = name.endswith(("_proj", "lm_head"))
        if (is_projection and type(module) is not Linear) or module._forward_hooks or module._forward_pre_hooks:
            return False
    return True
