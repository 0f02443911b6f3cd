"""Models with random weights, the same at each call."""

from typing import Any

import torch
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen3Config

SHARP = 0.1
"""Standard deviation of weights that make scores so sharp that rounding does not decide greedy tokens."""


def random_model(
    hidden: int,
    layers: int,
    vocabulary: int,
    *,
    heads: int = 4,
    kv_heads: int = 4,
    head_dim: int | None = None,
    deviation: float = 0.02,
    family: str = "Qwen3",
) -> Any:
    """Return a model with tied embeddings and no dropout, in evaluation mode.

    Args:
      hidden: its width; feed-forward layers are three times as wide.
      layers: how many.
      vocabulary: entries.
      heads: of the queries.
      kv_heads: of keys and values.
      head_dim: width of a head; None: hidden / heads, which is all that Qwen2 knows.
      deviation: of the weights.
      family: Qwen2 or Qwen3.
    """
    options = {} if family == "Qwen2" else {"head_dim": head_dim or hidden // heads}
    config = {"Qwen2": Qwen2Config, "Qwen3": Qwen3Config}[family](
        vocab_size=vocabulary,
        hidden_size=hidden,
        intermediate_size=3 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        initializer_range=deviation,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
        **options,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config).eval()
