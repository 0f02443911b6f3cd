"""What a configuration tells of models that are not computed exactly."""

import pytest
from transformers import Gemma3TextConfig, LlamaConfig, MambaConfig, Phi3Config, Qwen3NextConfig

from agentrl.errors import ModelError
from agentrl.models.unsupported import refuse_unsupported

LONG = {"rope_type": "longrope", "rope_theta": 1e4, "short_factor": [1.0] * 4, "long_factor": [2.0] * 4}


def test_attention_in_all_layers_is_served() -> None:
    for config in (LlamaConfig(), Gemma3TextConfig(sliding_window=8)):
        refuse_unsupported(config, 1024)


def test_layers_with_a_state_are_refused() -> None:
    for config in (MambaConfig(), Qwen3NextConfig(num_hidden_layers=4)):
        with pytest.raises(ModelError, match="layers of kind linear_attention: only full and"):
            refuse_unsupported(config, 64)


def test_a_context_longer_than_the_positions_is_refused() -> None:
    refuse_unsupported(LlamaConfig(max_position_embeddings=64), 64)
    with pytest.raises(ModelError, match="64 positions, fewer than max_context 65"):
        refuse_unsupported(LlamaConfig(max_position_embeddings=64), 65)


def test_rotations_that_change_with_the_length_are_refused_beyond_it() -> None:
    dynamic = {"rope_type": "dynamic", "rope_theta": 1e4, "factor": 2.0, "original_max_position_embeddings": 32}
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "max_position_embeddings": 256, "pad_token_id": 0}
    own = {"original_max_position_embeddings": 32}
    for config in (LlamaConfig(rope_parameters=dynamic, **sizes), Phi3Config(rope_parameters=LONG, **own, **sizes)):
        refuse_unsupported(config, 32)
        with pytest.raises(ModelError, match="beyond 32 tokens"):
            refuse_unsupported(config, 33)
