"""Which models take the written-out forward pass, and that it is the same one."""

import mmap
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from agentrl.engines.cache.slots import SlotCache, Window, attend
from agentrl.engines.forward.lean import LeanModel
from agentrl.engines.forward.modules import ModuleModel
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
    # Of rows 1 to 3, how many tokens each feeds before the one that is sampled from, in four passes.
    fed = ([4, 2, 3], [0, 0, 0], [3, 0, 2], [2, 2, 2])
    outputs = []
    for kind in (LeanModel, ModuleModel):
        cache = SlotCache(4, 20, torch.float32, torch.device("cpu"))
        run, lengths, steps = kind(model, cache), [0, 0, 0], []
        for counts in fed:
            windows = feeding(cache, counts, lengths)
            lengths = [length + count + 1 for length, count in zip(lengths, counts, strict=True)]
            last = torch.tensor(lengths)[:, None] - 1
            with torch.no_grad():
                steps.append(run([*windows, cache.window_of(slice(1, 4), last * 7, last, max(lengths))]))
        outputs.append(torch.stack(steps))
    torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-4, atol=1e-4)


def feeding(cache: SlotCache, counts: list[int], lengths: list[int]) -> list[Window]:
    """Return the window that feeds ``counts`` tokens to rows 1 to 3, which hold ``lengths``, if it is any token."""
    rows = [row for row in range(3) if counts[row]]
    if not rows:
        return []
    counts_B1, lengths_B1 = (torch.tensor([column[row] for row in rows])[:, None] for column in (counts, lengths))
    grid = torch.arange(max(counts))
    is_real = grid < counts_B1
    positions = torch.where(is_real, lengths_B1 + grid, cache.max_context)
    context = int((counts_B1 + lengths_B1).max())
    real_N = None if is_real.all() else is_real.flatten().nonzero()[:, 0]
    return [cache.window_of(torch.tensor(rows) + 1, positions * 37 % 260, positions, context, real_N=real_N)]


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


def resident() -> int:
    """Return the memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="tells memory by /proc")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_slots_take_memory_as_they_are_written(dtype: torch.dtype) -> None:
    cache = SlotCache(64, 4095, dtype, torch.device("cpu"))
    before = resident()
    ones = torch.ones(3, 2, 64, dtype=dtype)
    cache.write(0, torch.tensor([0, 1, 63]), torch.tensor([0, 7, 4000]), ones, ones)
    assert cache.keys[0].nbytes == 64 * 4096 * 2 * 64 * dtype.itemsize
    assert resident() - before < cache.keys[0].nbytes / 4
    assert cache.values[0].sum() == ones.sum()  # what was not written is zero
