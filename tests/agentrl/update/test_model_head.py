import pytest
import torch
from transformers import AutoModelForCausalLM, CohereConfig, Gemma2Config, GraniteConfig, PhiConfig

from agentrl.errors import ModelError
from agentrl.update.head import head_of

SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}


@pytest.mark.parametrize(
    "config",
    [
        GraniteConfig(logits_scaling=8.0, **SIZES),
        CohereConfig(logit_scale=0.25, **SIZES),
        Gemma2Config(final_logit_softcapping=0.05, head_dim=8, **SIZES),
        PhiConfig(**SIZES),
    ],
    ids=lambda config: config.model_type,
)
def test_logits_are_the_models_own(config):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    if model.lm_head.bias is not None:
        torch.nn.init.normal_(model.lm_head.bias)
    ids = torch.arange(1, 20)[None]
    with torch.no_grad():
        expected = model(input_ids=ids).logits[0]
        logits = head_of(model).logits(model.base_model(input_ids=ids).last_hidden_state[0])
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)
    assert not torch.allclose(logits, expected * 1.01, rtol=1e-5, atol=1e-6)


def test_a_head_that_is_no_linear_layer_is_refused():
    model = AutoModelForCausalLM.from_config(GraniteConfig(**SIZES))
    model.lm_head = torch.nn.Sequential(model.lm_head)
    with pytest.raises(ModelError, match="is a Sequential, not a linear layer"):
        head_of(model)
