"""Which models take the written-out forward pass, and that it is the same one."""

from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from agentrl.engines.lean import LeanModel
from agentrl.engines.modules import ModuleModel
from agentrl.engines.slots import SlotCache, attend
from tests.agentrl.engines.tiny import build


def test_families_fit_and_changed_models_do_not(any_model: Any) -> None:
    assert LeanModel.fits(any_model)
    hook = any_model.model.layers[0].register_forward_hook(lambda *args: None)
    assert not LeanModel.fits(any_model)
    hook.remove()
    projection = any_model.model.layers[1].mlp.up_proj
    any_model.model.layers[1].mlp.up_proj = torch.nn.Sequential(projection)
    assert not LeanModel.fits(any_model)
    any_model.model.layers[1].mlp.up_proj = projection
    assert LeanModel.fits(any_model)
    assert not LeanModel.fits(GPT2LMHeadModel(GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=9)))


@pytest.mark.parametrize("num_kv_heads", [1, 4])
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_equals_the_modules(family: str, num_kv_heads: int) -> None:
    model = build(family, num_kv_heads=num_kv_heads)
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():  # norms start as ones and biases as zeros, which would hide mistakes
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    outputs = []
    for kind in (LeanModel, ModuleModel):
        cache = SlotCache(4, 20, torch.float32, torch.device("cpu"))
        run = kind(model, cache)
        steps = []
        with torch.no_grad():
            for first, width in ((0, 5), (5, 1), (6, 3)):
                ids = (torch.arange(3 * width).view(3, width) * 37 + first) % 260
                positions = (first + torch.arange(width)).expand(3, -1)
                steps.append(run(ids, cache.open_window(slice(1, 4), positions, first + width)))
        outputs.append(torch.stack(steps))
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("num_tokens", "context"), [(1, 30), (1, 300), (4, 30)])
@pytest.mark.parametrize("num_kv_heads", [1, 2, 4])
def test_attention_equals_the_textbook(num_tokens: int, context: int, num_kv_heads: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(3, 4, num_tokens, 8, generator=generator)
    key, value = (torch.randn(3, num_kv_heads, context, 8, generator=generator) for _ in range(2))
    hidden = torch.rand(3, 1, num_tokens, context, generator=generator) < 0.3
    mask = torch.zeros(hidden.shape).masked_fill(hidden, -torch.inf)
    full_key, full_value = (x.repeat_interleave(4 // num_kv_heads, dim=1).double() for x in (key, value))
    weights = (query.double() @ full_key.transpose(-1, -2) * 0.5 + mask).softmax(-1)
    torch.testing.assert_close(attend(query, key, value, mask, 0.5).double(), weights @ full_value, rtol=0, atol=1e-5)
