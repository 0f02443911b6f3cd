"""The packed forward pass equals one sequence at a time, in values and gradients."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agentrl import seeding
from agentrl.update.passes.packed import Packing, packed_attention, packed_hidden_states
from tests.agentrl.engines.tiny import FAMILIES, VOCAB_SIZE, build

ORDERS = [(9, 4, 1, 7), (1, 4, 7, 9), (7, 9, 1, 4), (5, 5, 5), (12,), (1,)]


def ids_of(lengths: tuple[int, ...]) -> Tensor:
    rng = seeding.generator(0, "packed", *lengths)
    return torch.as_tensor(rng.integers(VOCAB_SIZE, size=sum(lengths)))


def one_by_one(model: Any, ids_L: Tensor, lengths: tuple[int, ...]) -> Tensor:
    parts = [model.base_model(input_ids=part[None], use_cache=False) for part in ids_L.split(list(lengths))]
    return torch.cat([part.last_hidden_state[0] for part in parts])


def gradients(model: Any, hidden_LH: Tensor) -> list[Tensor]:
    weights = torch.linspace(-1, 1, hidden_LH.numel()).view_as(hidden_LH)
    return list(torch.autograd.grad((hidden_LH * weights).sum(), list(model.base_model.parameters())))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("num_kv_heads", [1, 2, 4])
def test_equals_one_by_one(family: str, num_kv_heads: int) -> None:
    model = build(family, num_kv_heads=num_kv_heads)
    for lengths in ORDERS:
        ids_L = ids_of(lengths)
        packed = packed_hidden_states(model, ids_L, Packing.of(lengths))
        alone = one_by_one(model, ids_L, lengths)
        torch.testing.assert_close(packed, alone, rtol=1e-5, atol=1e-5)
        for ours, theirs in zip(gradients(model, packed), gradients(model, alone), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))


def test_no_token_sees_another_sequence_or_what_comes_after_it() -> None:
    model, lengths = build("qwen3"), (6, 3, 8)
    ids_L = ids_of(lengths)
    changed_L = ids_L.clone()
    changed_L[6 + 2] += 1  # the last token of the middle sequence
    with torch.no_grad():
        before, after = (packed_hidden_states(model, ids, Packing.of(lengths)) for ids in (ids_L, changed_L))
    assert [i for i in range(sum(lengths)) if not before[i].equal(after[i])] == [8]


def test_the_models_own_attention_comes_back() -> None:
    model = build("qwen3")
    before = model.config._attn_implementation
    with pytest.raises(RuntimeError, match="inside"), packed_attention(model):
        raise RuntimeError("inside")
    assert model.config._attn_implementation == before


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12))
def test_layout(lengths: list[int]) -> None:
    """Every token has its place in exactly one group, in its own sequence and at its own position."""
    packing = Packing.of(lengths)
    assert packing.positions_L.tolist() == [i for length in lengths for i in range(length)]
    flat = torch.cat([group.flatten() for group in packing.groups])
    assert flat[packing.order_L].tolist() == list(range(sum(lengths)))
    sequence_L = np.repeat(np.arange(len(lengths)), lengths)
    assert sum(len(group) for group in packing.groups) == len(lengths)
    for group in packing.groups:
        for row in group:
            number = int(sequence_L[row[0]])
            start = sum(lengths[:number])
            assert row[: lengths[number]].tolist() == list(range(start, start + lengths[number]))
            assert lengths[number] >= 0.8 * group.shape[1], "little is padded"
