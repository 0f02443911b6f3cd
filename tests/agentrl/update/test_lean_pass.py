"""The written-out training pass against the model's own modules, and when it is not taken."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from agentrl import seeding
from agentrl.update.passes import lean, lean_layers
from agentrl.update.passes.forward import hidden_states
from agentrl.update.passes.packed import Packing, packed_hidden_states
from agentrl.update.passes.pieces import Pieces
from agentrl.update.passes.tree import Trie
from agentrl.update.passes.tree_attention import tree_attention
from tests.agentrl.engines.tiny import FAMILIES, VOCAB_SIZE, build
from tests.agentrl.update.test_tree import random_forest, relative_error

SHARES = [1.0, 0.6, 0.3, 0.02]
"""Of the tokens that are wanted: before and behind `lean.FEW`, and so few that some sequences have none."""


def some_row(seed: int, *, merge: bool) -> tuple[Tensor, Packing]:
    sequences = random_forest(seed)
    if merge:
        trie = Trie.of(sequences)
        assert trie.parts, "something forks"
        return torch.as_tensor(trie.ids_U), Packing.of_trie(trie)
    return torch.cat([torch.as_tensor(ids) for ids in sequences]).long(), Packing.of([len(ids) for ids in sequences])


def some_tokens(ids_L: Tensor, share: float, seed: int) -> Tensor:
    """Return indices out of order, some of them repeated."""
    rng = seeding.generator(seed, "wanted")
    return torch.as_tensor(rng.integers(len(ids_L), size=max(1, round(share * len(ids_L)))))


def slopes(model: Any, hidden_QH: Tensor) -> list[Tensor]:
    weights = torch.linspace(-1, 1, hidden_QH.numel()).view_as(hidden_QH)
    return list(torch.autograd.grad((hidden_QH * weights).sum(), list(model.base_model.parameters())))


def prepared(family: str, num_kv_heads: int) -> Any:
    """Return a model whose norms and biases are not at their beginnings."""
    model = build(family, num_kv_heads=num_kv_heads)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                parameter += 0.3 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("num_kv_heads", [1, 2, 4])
@pytest.mark.parametrize("merge", [False, True])
def test_values_and_gradients_are_those_of_the_modules(
    family: str, num_kv_heads: int, merge: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lean_layers, "CHUNK_FLOATS", 1)  # chunks of 64 tokens, so that there are several
    model = prepared(family, num_kv_heads)
    assert lean.fits(model) and lean.fits(model.base_model)
    for seed, share in enumerate(SHARES):
        ids_L, packing = some_row(seed, merge=merge)
        assert len(ids_L) > 128
        wanted_Q = some_tokens(ids_L, share, seed)
        ours = hidden_states(model, ids_L, packing, wanted_Q)
        theirs = packed_hidden_states(model, ids_L, packing).index_select(0, wanted_Q)
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=3e-5)
        assert relative_error(slopes(model, ours), slopes(model, theirs)) < 1e-5


@pytest.mark.parametrize("seed", range(4))
def test_attention_of_few_is_that_of_all(seed: int) -> None:
    """In double precision, merged, with two heads of keys for six of queries."""
    trie = Trie.of(random_forest(seed))
    size, packing = len(trie.ids_U), Packing.of_trie(trie)
    rng = seeding.generator(seed, "few")
    inputs = [torch.from_numpy(rng.standard_normal((size, heads, 8))).requires_grad_() for heads in (6, 2, 2)]
    layout = packing.groups, packing.order_L, packing.parts
    rows_P = torch.as_tensor(rng.permutation(size)[: size // 5]).sort().values
    few = Pieces.of_few(*layout, rows_P, torch.float64)
    ours = tree_attention(inputs[0][rows_P], inputs[1], inputs[2], few, 0.7)
    theirs = tree_attention(*inputs, Pieces.of_all(*layout), 0.7)[rows_P]
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
    slope_PHD = torch.from_numpy(rng.standard_normal(ours.shape))
    gradients = (torch.autograd.grad(result, inputs, slope_PHD) for result in (ours, theirs))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_a_frozen_model_and_one_token() -> None:
    model = build("qwen3").requires_grad_(False)
    ids_L = torch.tensor([3, 1, 4])
    ours = hidden_states(model, ids_L, Packing.of([1, 2]), torch.tensor([0]))
    assert not ours.requires_grad
    torch.testing.assert_close(ours, model.base_model(input_ids=ids_L[None, :1]).last_hidden_state[0])


def dropout(model: Any) -> None:
    model.config.attention_dropout = 0.1
    model.train()


def hook(model: Any) -> None:
    model.model.layers[0].mlp.register_forward_hook(lambda *_: None)


def adapter(model: Any) -> None:
    class Adapted(torch.nn.Linear):
        pass

    model.model.layers[1].self_attn.q_proj = Adapted(32, 32, bias=False)


def window(model: Any) -> None:
    model.config.layer_types = ["full_attention", "sliding_attention"]


def checkpointing(model: Any) -> None:
    model.model.layers[1].gradient_checkpointing = True
    model.train()


CHANGES: list[Callable[[Any], object]] = [
    dropout, hook, adapter, window, checkpointing, lambda model: model.double(), lambda model: model.bfloat16(),
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES)
def test_what_changes_a_pass_is_left_to_the_modules(change: Callable[[Any], object]) -> None:
    model = build("qwen3")
    assert lean.fits(model)
    change(model)
    assert not lean.fits(model)


def test_autocast_is_left_to_the_modules() -> None:
    model = build("llama")
    with torch.autocast("cpu", torch.bfloat16):
        assert not lean.fits(model)
    rng = seeding.generator(0, "bf16")
    ids_L, packing = torch.as_tensor(rng.integers(VOCAB_SIZE, size=9)), Packing.of([4, 5])
    half = hidden_states(model, ids_L, packing, torch.tensor([2, 8]), "bfloat16")
    assert half.equal(packed_hidden_states(model, ids_L, packing, "bfloat16")[[2, 8]])
