"""Merged sequences: the trie against brute force, and the update against the padded one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from agentrl import seeding
from agentrl.algorithms.base import LossSettings
from agentrl.losses import token_weights
from agentrl.types import TokenSequence
from agentrl.update import batch
from agentrl.update.batch import Sample, pack
from agentrl.update.objective import policy_term
from agentrl.update.optimizer import Optimizer
from agentrl.update.passes import flex
from agentrl.update.passes.packed import Packing, packed_hidden_states
from agentrl.update.passes.pieces import Pieces
from agentrl.update.passes.tree import Trie, common_prefix, num_unique
from agentrl.update.passes.tree_attention import tree_attention
from agentrl.update.settings import UpdateSettings
from agentrl.update.update import Updater, score
from tests.agentrl.engines.tiny import FAMILIES, build

SEQUENCES = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=7), max_size=9).map(
    lambda lists: [np.array(ids, np.int32) for ids in lists]
)


@pytest.fixture(autouse=True)
def every_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merge whatever small samples share."""
    monkeypatch.setattr(batch, "LEAST_SAVED", 1)


def array(*ids: int) -> NDArray[np.int32]:
    return np.array(ids, np.int32)


# --- the trie -------------------------------------------------------------------------------------------------------


def test_trie_by_hand() -> None:
    sequences = [array(5, 6, 8), array(5, 6, 7), array(5, 6, 7, 9), array(5, 4), array(5, 6, 7), array(3, 2)]
    trie = Trie.of(sequences)
    # 3 2 | 5 4 | 6 7 9 | 8: below the first token of the second run hang two
    assert trie.ids_U.tolist() == [3, 2, 5, 4, 6, 7, 9, 8]
    assert trie.depths_U.tolist() == [0, 1, 0, 1, 1, 2, 3, 2]
    assert trie.ends_U.tolist() == [2, 2, 8, 4, 8, 7, 7, 8]
    assert [nodes.tolist() for nodes in trie.nodes] == [
        [2, 4, 7], [2, 4, 5], [2, 4, 5, 6], [2, 3], [2, 4, 5], [0, 1],
    ]  # fmt: skip
    assert trie.runs == (2, 2, 3, 1)
    assert sorted(trie.parts) == [(2, 3, 4, 8), (4, 5, 7, 8)]


def test_a_chain_of_prompts_is_one_run() -> None:
    whole = np.arange(20, dtype=np.int32)
    trie = Trie.of([whole[:5], whole[:20], whole[:11]])
    assert trie.runs == (20,) and trie.parts == ()
    assert trie.ids_U.tolist() == list(range(20))


def pasts(sequences: Sequence[NDArray[np.int32]]) -> dict[tuple[int, ...], set[tuple[int, ...]]]:
    """Return what each unique token, named by the path to it, may see."""
    paths = {tuple(ids[: at + 1].tolist()) for ids in sequences for at in range(len(ids))}
    return {path: {path[: at + 1] for at in range(len(path))} for path in paths}


@settings(deadline=None)
@given(SEQUENCES)
def test_trie_against_brute_force(sequences: list[NDArray[np.int32]]) -> None:
    trie, expected = Trie.of(sequences), pasts(sequences)
    size = len(expected)
    assert len(trie.ids_U) == len(trie.depths_U) == sum(trie.runs) == num_unique(sequences) == size
    names: dict[int, tuple[int, ...]] = {}
    for ids, nodes in zip(sequences, trie.nodes, strict=True):
        assert trie.ids_U[nodes].tolist() == ids.tolist()
        assert trie.depths_U[nodes].tolist() == list(range(len(ids)))
        names |= {int(node): tuple(ids[: at + 1].tolist()) for at, node in enumerate(nodes)}
    assert len(set(names.values())) == len(names) == size
    mask = np.array([[names[k] in expected[names[q]] for k in range(size)] for q in range(size)]).reshape(size, size)
    q, k = np.mgrid[:size, :size]
    np.testing.assert_array_equal((k <= q) & (q < trie.ends_U[None, :]), mask)
    np.testing.assert_array_equal(covered(trie), mask, "every pair is computed exactly once")


def covered(trie: Trie) -> NDArray[np.int64]:
    """Return how often runs and parts let a token see another."""
    size = len(trie.ids_U)
    count = np.zeros((size, size), np.int64)
    for end, length in zip(np.cumsum(trie.runs), trie.runs, strict=True):
        count[end - length : end, end - length : end] += np.tri(length, dtype=np.int64)
    for part in trie.parts:
        assert part.first_key < part.last_key <= part.first_query < part.last_query
        count[slice(*part[2:]), slice(*part[:2])] += 1
    return count


def test_forks_that_save_little_are_left_out_by_hand() -> None:
    sequences = [array(1, 2, 3, 4, 5), array(1, 2, 3, 4, 6), array(1, 2, 3, 7), array(1, 2, 3, 8), array(1, 2, 3)]
    trie = Trie.of(sequences, 2)  # below token 4 one token is saved once: its branch begins below 3, where three do
    assert trie.ids_U.tolist() == [1, 2, 3, 4, 5, 4, 6, 7, 8]
    assert sorted(trie.parts) == [(0, 3, 5, 9)]
    assert num_unique(sequences, 2) == num_unique(sequences, 9) == 9
    assert num_unique(sequences, 10) == 21 - 3, "a sequence that goes on from the end of another needs no fork"


@settings(deadline=None)
@given(SEQUENCES, st.integers(1, 12))
def test_with_forks_left_out_every_token_sees_its_past_once(
    sequences: list[NDArray[np.int32]], least_saved: int
) -> None:
    trie = Trie.of(sequences, least_saved)
    size = len(trie.ids_U)
    assert len(trie.depths_U) == sum(trie.runs) == num_unique(sequences, least_saved) == size
    assert sum(map(len, sequences)) >= size >= num_unique(sequences)
    mask = np.zeros((size, size), np.int64)
    for ids, nodes in zip(sequences, trie.nodes, strict=True):
        assert trie.ids_U[nodes].tolist() == ids.tolist()
        assert trie.depths_U[nodes].tolist() == list(range(len(ids)))
        mask[np.ix_(nodes, nodes)] = np.tri(len(nodes), dtype=np.int64)
    q, k = np.mgrid[:size, :size]
    np.testing.assert_array_equal((k <= q) & (q < trie.ends_U[None, :]), mask)
    np.testing.assert_array_equal(covered(trie), mask)
    assert not (trie.parts and least_saved > sum(map(len, sequences)))


def test_common_prefix() -> None:
    assert common_prefix(array(1, 2, 3), array(1, 2, 4)) == 2
    assert common_prefix(array(1, 2), array(1, 2, 4)) == 2
    assert common_prefix(array(7), array(8)) == common_prefix(array(), array(8)) == 0


# --- the forward pass -----------------------------------------------------------------------------------------------


def random_forest(seed: int, *, trees: int = 3, vocabulary: int = 200) -> list[NDArray[np.int32]]:
    """Return sequences that fork at several depths, with duplicates and sequences that end inside others."""
    rng = seeding.generator(seed, "forest")
    result: list[NDArray[np.int32]] = []
    for _ in range(trees):
        members = [rng.integers(vocabulary, size=rng.integers(8, 40))]
        for _ in range(rng.integers(0, 7)):
            parent = members[rng.integers(len(members))]
            fork = parent[: rng.integers(1, len(parent) + 1)]
            members.append(np.concatenate([fork, rng.integers(vocabulary, size=rng.integers(0, 25))]))
        result += [member.astype(np.int32) for member in members]
    result.append(result[rng.integers(len(result))].copy())
    return [result[i] for i in rng.permutation(len(result))]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("num_kv_heads", [1, 2, 4])
def test_hidden_states_are_those_of_each_sequence_alone(family: str, num_kv_heads: int) -> None:
    model = build(family, num_kv_heads=num_kv_heads)
    for seed in range(3):
        sequences = random_forest(seed)
        trie = Trie.of(sequences)
        assert trie.parts, "something forks"
        with torch.no_grad():
            hidden_UH = packed_hidden_states(model, torch.as_tensor(trie.ids_U), Packing.of_trie(trie))
            for ids, nodes in zip(sequences, trie.nodes, strict=True):
                alone = model.base_model(input_ids=torch.as_tensor(ids).long()[None], use_cache=False)
                torch.testing.assert_close(hidden_UH[nodes], alone.last_hidden_state[0], rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("seed", range(4))
def test_attention_is_softmax_under_the_mask(seed: int) -> None:
    """In double precision: outputs and gradients, also of keys that many tokens share."""
    trie = Trie.of(random_forest(seed))
    size, packing = len(trie.ids_U), Packing.of_trie(trie)
    draw = torch.from_numpy(seeding.generator(seed, "attention").standard_normal((4, size, 3, 8)))
    ends_U, at_U = torch.as_tensor(trie.ends_U), torch.arange(size)
    sees_UU = (at_U <= at_U[:, None]) & (at_U[:, None] < ends_U)
    inputs = [x.clone().requires_grad_() for x in draw[:3]]
    ours = tree_attention(
        inputs[0], inputs[1], inputs[2], Pieces.of_all(packing.groups, packing.order_L, packing.parts), 0.7
    )
    query_HUD, key_HUD, value_HUD = (x.transpose(0, 1) for x in inputs)
    scores = (0.7 * query_HUD @ key_HUD.mT).masked_fill(~sees_UU, -torch.inf)
    theirs = (scores.softmax(-1) @ value_HUD).transpose(0, 1)
    torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-11)
    gradients = (torch.autograd.grad(result, inputs, draw[3]) for result in (ours, theirs))
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("num_kv_heads", [3, 1])
@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
def test_the_kernel_of_the_gpu_has_the_same_mask(num_kv_heads: int) -> None:
    trie = Trie.of(random_forest(2))
    packing, mask = Packing.of_trie(trie), flex.block_mask(*map(torch.as_tensor, (trie.ends_U, trie.depths_U)))
    rng = seeding.generator(0, "flex")
    size = len(trie.ids_U)
    query, key, value = (
        torch.from_numpy(rng.standard_normal((1, heads, size, 16), np.float32))
        for heads in (3, num_kv_heads, num_kv_heads)
    )
    theirs = flex.attention(query, key, value, mask, 0.3)[0]
    q_UHD, k_UHD, v_UHD = (x[0].repeat_interleave(3 // x.shape[1], dim=0).transpose(0, 1) for x in (query, key, value))
    ours = tree_attention(q_UHD, k_UHD, v_UHD, Pieces.of_all(packing.groups, packing.order_L, packing.parts), 0.3)
    torch.testing.assert_close(theirs, ours, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.parametrize("seed", range(3))
def test_on_a_gpu_the_update_is_that_of_the_cpu(seed: int) -> None:
    samples = random_samples(seed)
    results = []
    for device in ("cpu", "cuda"):
        model = build("qwen3").to(device)
        gradients = merged_gradients(model, samples, CLIPPED)
        results.append([gradient.cpu() for gradient in gradients])
    assert relative_error(*results) < 1e-3, "Triton multiplies float32 in TF32"


# --- the update -----------------------------------------------------------------------------------------------------


def random_samples(seed: int, *, trees: int = 3) -> list[Sample]:
    """Return samples of a random forest, each with advantages and a scale of old log-probs of its own."""
    rng = seeding.generator(seed, "samples")
    samples = []
    for number, ids_L in enumerate(random_forest(seed, trees=trees)):
        turns_L = np.where(np.arange(len(ids_L)) % 7 < 4, np.arange(len(ids_L)) // 7, -1).astype(np.int32)
        turns_L[0] = -1
        if (turns_L < 0).all():
            turns_L = np.full(len(ids_L), 0, np.int32)
        sampled_L = turns_L >= 0
        old_L = (-5.5 + 1.5 * rng.standard_normal(len(ids_L))).astype(np.float32) * sampled_L
        sequence = TokenSequence(ids_L, sampled_L, old_L, np.zeros(len(ids_L), np.float32), turns_L)
        advantages = rng.standard_normal(1 + int(turns_L.max()))
        advantages_L = np.where(sampled_L, advantages[turns_L], np.nan)
        rows_L = np.where(sampled_L, 100 * number + turns_L, -1).astype(np.int64)
        samples.append(Sample(sequence, advantages_L, rows_L, old_L))
    return samples


def padded_gradients(model: Any, samples: Sequence[Sample], loss: LossSettings) -> list[Tensor]:
    """Return the gradient by the textbook: right padding, attention mask, full logits, each sequence by itself."""
    longest = max(map(len, samples))
    ids_SL = torch.zeros(len(samples), longest, dtype=torch.int64)
    for row, sample in zip(ids_SL, samples, strict=True):
        row[: len(sample)] = torch.as_tensor(sample.sequence.ids_L)
    lengths = torch.tensor([len(sample) for sample in samples])
    mask_SL = torch.arange(longest) < lengths[:, None]
    logits = model(input_ids=ids_SL, attention_mask=mask_SL.long(), use_cache=False).logits
    logprobs_SL = torch.log_softmax(logits[:, :-1], -1).gather(2, ids_SL[:, 1:, None])[..., 0]
    flat = pack(samples)
    at = [(s, int(t) - 1) for s, one in enumerate(samples) for t in np.flatnonzero(np.isfinite(one.advantages_L))]
    logprobs_A = torch.stack([logprobs_SL[place] for place in at])
    loss_A, _ = policy_term(loss, logprobs_A, flat)
    weight_A = token_weights(
        torch.ones_like(loss_A, dtype=torch.bool),
        mode=loss.aggregation,
        sequence_index=flat.sequence_A,
        dtype=loss_A.dtype,
    )
    return list(torch.autograd.grad((loss_A * weight_A).sum(), list(model.parameters())))


class Recorder(Optimizer):
    """Keeps the gradients and leaves the weights."""

    def step(self, lr: float) -> float:
        self.gradients = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in self.parameters]
        for parameter in self.parameters:
            parameter.grad = None
        return 1.0


def merged_gradients(model: Any, samples: Sequence[Sample], loss: LossSettings, **config: Any) -> list[Tensor]:
    recorder = Recorder(model)
    settings = UpdateSettings(minibatches=1, **({"merge_prefixes": "always"} | config))
    Updater(model, None, recorder, settings, loss).run(samples, lr=0.1, rng=seeding.generator(0, "deal"))
    return recorder.gradients


def relative_error(ones: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """Return the largest error of a parameter's gradient, relative to that gradient's norm."""
    return max(float((one - other).norm() / other.norm()) for one, other in zip(ones, others, strict=True))


CLIPPED = LossSettings(clip_low=0.2, clip_high=0.28)
GSPO = LossSettings(ratio_level="sequence", clip_low=0.3, clip_high=0.4, aggregation="sequence_mean")


@pytest.mark.parametrize("loss", [CLIPPED, GSPO, LossSettings(ratio_level="turn")], ids=["ppo", "gspo", "turn"])
@pytest.mark.parametrize("seed", range(6))
def test_the_update_is_the_padded_one(loss: LossSettings, seed: int) -> None:
    model = build("qwen2", num_kv_heads=1 + seed % 2)
    samples = random_samples(seed)
    merged, apart = pack(samples, merge=True), pack(samples)
    assert merged.num_tokens < 0.9 * apart.num_tokens and len(merged.targets_Q) < len(apart.targets_Q)
    with torch.no_grad():
        ratio_A = (score(model, merged)[0] - merged.old_logprobs_A).exp()
    is_clipped_A = ((ratio_A < 0.8) & (merged.advantages_A < 0)) | ((ratio_A > 1.28) & (merged.advantages_A > 0))
    assert 0.1 < is_clipped_A.float().mean() < 0.9, "some are clipped and some are not"
    shared_Q = torch.bincount(merged.question_A)
    clipped_Q = torch.bincount(merged.question_A, weights=is_clipped_A.double())
    assert ((clipped_Q > 0) & (clipped_Q < shared_Q)).any(), "a token is clipped in one branch and not in another"
    expected = padded_gradients(model, samples, loss)
    assert relative_error(merged_gradients(model, samples, loss), expected) < 1e-5
    assert relative_error(merged_gradients(model, samples, loss, token_budget=90), expected) < 1e-5


@pytest.mark.parametrize("least_saved", [4, 16])
def test_the_update_is_the_padded_one_with_forks_left_out(least_saved: int, monkeypatch: pytest.MonkeyPatch) -> None:
    model, samples = build("qwen2", num_kv_heads=2), random_samples(1, trees=4)
    whole = pack(samples, merge=True)
    monkeypatch.setattr(batch, "LEAST_SAVED", least_saved)
    few = pack(samples, merge=True)
    assert 0 < len(few.packing.parts) < len(whole.packing.parts) and few.num_tokens > whole.num_tokens
    assert relative_error(merged_gradients(model, samples, CLIPPED), padded_gradients(model, samples, CLIPPED)) < 1e-5


def test_recomputed_log_probs_come_back_to_their_tokens() -> None:
    model = build("qwen3")
    samples = random_samples(1)
    alone, together = (
        Updater(model, None, Optimizer(model), UpdateSettings(merge_prefixes=wish, token_budget=150), CLIPPED)._old(
            samples
        )
        for wish in ("never", "always")
    )
    for one, other, sample in zip(alone, together, samples, strict=True):
        assert one.sequence is other.sequence is sample.sequence
        np.testing.assert_allclose(one.old_logprobs_L, other.old_logprobs_L, rtol=1e-5, atol=1e-5)
    results = [
        merged_gradients(model, samples, CLIPPED, old_logprobs="recompute", merge_prefixes=wish)
        for wish in ("always", "never")
    ]
    assert relative_error(*results) < 1e-5


def test_without_anything_shared_it_is_the_packed_update() -> None:
    model = build("qwen3")
    samples = [replace(sample) for sample in random_samples(4, trees=1)[:1]]
    rng = seeding.generator(0, "other")
    other = samples[0].sequence
    ids_L = ((other.ids_L + 1 + rng.integers(50, size=len(other))) % 256).astype(np.int32)
    samples.append(replace(samples[0], sequence=replace(other, ids_L=ids_L)))
    assert Trie.of([sample.sequence.ids_L for sample in samples]).parts == ()
    results = [merged_gradients(model, samples, CLIPPED, merge_prefixes=wish) for wish in ("always", "never")]
    assert relative_error(*results) < 1e-6
