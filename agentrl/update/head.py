"""A model's own vocabulary head, as the losses take it."""

from typing import Any

from torch.nn import Linear

from agentrl.errors import ModelError
from agentrl.losses import Head


def head_of(model: Any) -> Head:
    """Return how ``model`` turns last hidden states into logits: its head, and what its configuration adds to that.

    Configurations name a scale ``logit_scale`` (Cohere) or its inverse ``logits_scaling`` (Granite), and a soft cap
    ``final_logit_softcapping`` (Gemma). What a model does beyond that shows when its log-probs are compared with its
    own forward pass, at the start of a run.

    Raises:
      ModelError: the head is no linear layer (an adapter, for instance).
    """
    linear = model.get_output_embeddings()
    if not isinstance(linear, Linear):
        raise ModelError(
            f"the vocabulary head of {type(model).__name__} is a {type(linear).__name__}, not a linear layer: "
            "choose a model that has one (with adapters: merge them into it, or leave the head out)"
        )
    config = model.config.get_text_config()
    scale = (getattr(config, "logit_scale", None) or 1.0) / (getattr(config, "logits_scaling", None) or 1.0)
    return Head(linear.weight, linear.bias, float(scale), getattr(config, "final_logit_softcapping", None))
