"""Packed and merged attention with windows, soft caps and sinks, against each token's own past, token by token."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from agentrl import seeding
from agentrl.models.dense import Extras
from agentrl.update.passes import dense_attention as module
from agentrl.update.passes import flex
from agentrl.update.passes.dense_attention import merged_dense, packed_dense
from agentrl.update.passes.packed import Packing
from agentrl.update.passes.tree import Trie

HEADS, WIDTH, SCALE = 2, 16, 0.3
SINKS = torch.tensor([0.7, -0.4], dtype=torch.float64, requires_grad=True)
KINDS = {
    "window": Extras(window=3),
    "soft cap": Extras(softcap=0.8),
    "sinks": Extras(sinks_H=SINKS),
    "all": Extras(3, 0.8, SINKS),
    "none": Extras(),
}


def tensors(length: int) -> list[Tensor]:
    rng = seeding.generator(0, "dense", length)
    return [torch.as_tensor(rng.normal(size=(length, HEADS, WIDTH))).requires_grad_() for _ in range(3)]


def token_by_token(query: Tensor, key: Tensor, value: Tensor, pasts: list[list[int]], extras: Extras) -> Tensor:
    """The definition: softmax over the past of each token, which is listed from the first position on."""
    rows = []
    for token, past in enumerate(pasts):
        seen = past[-extras.window :] if extras.window is not None else past
        scores = torch.einsum("hd,khd->hk", query[token], key[seen]) * SCALE
        if extras.softcap is not None:
            scores = extras.softcap * torch.tanh(scores / extras.softcap)
        mass = scores.exp().sum(1) + (0 if extras.sinks_H is None else extras.sinks_H.exp())
        rows.append(torch.einsum("hk,khd->hd", scores.exp() / mass[:, None], value[seen]))
    return torch.stack(rows)


def assert_same(ours: Tensor, theirs: Tensor, inputs: list[Tensor], extras: Extras) -> None:
    torch.testing.assert_close(ours, theirs)
    if extras.sinks_H is not None:
        inputs = [*inputs, extras.sinks_H]
    weights = torch.linspace(-1, 1, ours.numel(), dtype=ours.dtype).view_as(ours)
    gradients = [torch.autograd.grad((out * weights).sum(), inputs) for out in (ours, theirs)]
    torch.testing.assert_close(*gradients)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK", 4)


@pytest.mark.parametrize("kind", KINDS)
def test_packed_sequences(kind: str) -> None:
    extras, lengths = KINDS[kind], (9, 1, 4, 8, 3)
    packing, inputs = Packing.of(lengths), tensors(sum(lengths))
    starts = np.repeat(np.cumsum([0, *lengths[:-1]]), lengths)
    pasts = [list(range(start, token + 1)) for token, start in enumerate(starts)]
    ours = packed_dense(*inputs, packing.groups, packing.order_L, SCALE, extras)
    assert_same(ours, token_by_token(*inputs, pasts, extras), inputs, extras)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.integers(0, 1), min_size=1, max_size=9), min_size=1, max_size=6), st.sampled_from([*KINDS]))
def test_merged_sequences(lists: list[list[int]], kind: str) -> None:
    extras, trie = KINDS[kind], Trie.of([np.array(ids, np.int32) for ids in lists])
    inputs = tensors(len(trie.ids_U))
    pasts: list[list[int]] = [[] for _ in trie.ids_U]
    for nodes in trie.nodes:
        for depth, token in enumerate(nodes):
            pasts[token] = nodes[: depth + 1].tolist()
    ours = merged_dense(*inputs, trie.runs, trie.parts, SCALE, extras)
    assert_same(ours, token_by_token(*inputs, pasts, extras), inputs, extras)


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("kind", KINDS)
def test_the_kernel_of_the_gpu_does_the_same(kind: str) -> None:
    extras = KINDS[kind]
    trie = Trie.of([np.array(ids, np.int32) for ids in ([1, 2, 3, 4, 5, 6], [1, 2, 3, 7, 8, 9, 9], [1, 2, 3, 7, 8])])
    packing = Packing.of_trie(trie)
    with torch.no_grad():
        inputs = [x.detach() for x in tensors(len(trie.ids_U))]
        expected = merged_dense(*inputs, trie.runs, trie.parts, SCALE, extras)
        heads_first = (x.transpose(0, 1)[None] for x in inputs)
        out = flex.attention(*heads_first, packing.mask(extras.window), SCALE, extras)[0]
    torch.testing.assert_close(out, expected)
