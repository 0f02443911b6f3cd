"""Shared prefixes against attention over copies, and engines that share against one that feeds everything again."""

import asyncio
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import scaled_dot_product_attention

from agentrl.engines.base import SamplingParams
from agentrl.engines.cache.prefixes import Block, Prefix, SharedRows
from agentrl.engines.cache.slots import attend
from agentrl.engines.forward.lean import LeanModel
from agentrl.engines.transformers import TransformersEngine
from agentrl.seeding import generator
from tests.agentrl.engines.tiny import VOCAB_SIZE, build

NEVER = 10**9
WIDTH = 8


def make(model: Any, **kwargs: Any) -> TransformersEngine:
    return TransformersEngine(model, None, **{"max_sessions": 8, "max_context": 96, "min_shared": 1, **kwargs})


def random_ids(rng: np.random.Generator, longest: int = 6) -> NDArray[np.int32]:
    return rng.integers(0, VOCAB_SIZE, rng.integers(1, longest + 1)).astype(np.int32)


def random_block(rng: np.random.Generator, heads: int, length: int, dtype: torch.dtype) -> Block:
    key, value = torch.from_numpy(rng.normal(size=(2, heads, length, WIDTH))).to(dtype)
    return Block([key.transpose(1, 2).contiguous()], [value])


# -- the attention -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["attend", "attend_many", "gather"])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-14), (torch.float32, 2e-6), (torch.bfloat16, 0.05)]
)
@pytest.mark.parametrize(("heads", "groups"), [(1, 1), (2, 3), (4, 1)])
def test_parts_equal_one_softmax_over_copies(
    way: str, dtype: torch.dtype, tolerance: float, heads: int, groups: int
) -> None:
    """Rows with no prefix, one block, parts of it, and chains of two; the rows of a block are not adjacent."""
    rng = generator(0, "two parts", heads)
    root, other = (random_block(rng, heads, length, dtype) for length in (11, 5))
    first = Prefix().extended(root)
    chain = first.cut(7).extended(other)
    prefixes = [first, Prefix(), chain, Prefix().extended(other), first, first.cut(7), chain, chain.cut(9), first]
    context, tokens = 6, 1 if way == "attend" else 4
    query = torch.from_numpy(rng.normal(size=(len(prefixes), heads * groups, tokens, WIDTH))).to(dtype)
    key, value = torch.from_numpy(rng.normal(size=(2, len(prefixes), heads, context, WIDTH))).to(dtype)
    own_mask = torch.zeros(len(prefixes), 1, tokens, context, dtype=dtype)
    for row in range(len(prefixes)):
        for token in range(tokens):
            own_mask[row, :, token, 1 + (row + token) % context :] = -torch.inf
    shared = SharedRows(prefixes, torch.device("cpu"))
    if way == "gather":
        keys, values = shared.gather(0, key, value)
        absent = torch.arange(shared.width) >= shared.lengths_B[:, None, None, None]
        hidden = torch.zeros(absent.shape, dtype=dtype).masked_fill(absent, -torch.inf).expand(-1, 1, tokens, -1)
        out = attend(query, keys, values, torch.cat([hidden, own_mask], -1), 0.3)
    else:
        out = getattr(shared, way)(0, query, key, value, own_mask, 0.3)
    for row, prefix in enumerate(prefixes):
        keys, values = (
            torch.cat(parts, 1).repeat_interleave(groups, 0).double()
            for parts in (
                [*(p.block.keys[0][..., : p.length].transpose(1, 2) for p in prefix.pieces), key[row]],
                [*(p.block.values[0][:, : p.length] for p in prefix.pieces), value[row]],
            )
        )
        mask = torch.cat([torch.zeros(tokens, prefix.length), own_mask[row, 0].float()], -1).double()
        expected = scaled_dot_product_attention(query[row].double(), keys, values, attn_mask=mask, scale=0.3)
        torch.testing.assert_close(out[row].double(), expected, atol=tolerance, rtol=0)


@pytest.mark.parametrize("way", ["attend", "attend_many"])
def test_large_scores_do_not_overflow(way: str) -> None:
    block = Block([torch.full((1, WIDTH, 3), 1e3)], [torch.ones(1, 3, WIDTH)])
    own = torch.full((1, 1, 1, WIDTH), -1e3)
    shared = SharedRows([Prefix().extended(block)], torch.device("cpu"))
    out = getattr(shared, way)(0, torch.ones(1, 1, 1, WIDTH), own, own, torch.zeros(1, 1, 1, 1), 1.0)
    torch.testing.assert_close(out, torch.ones(1, 1, 1, WIDTH))


def test_a_prefix_is_cut_within_its_pieces() -> None:
    rng = generator(0, "cut")
    first, second = (random_block(rng, 1, length, torch.float32) for length in (4, 3))
    chain = Prefix().extended(first).extended(second)
    assert [chain.cut(length).length for length in range(9)] == [0, 1, 2, 3, 4, 5, 6, 7, 7]
    assert [len(chain.cut(length).pieces) for length in (0, 4, 5)] == [0, 1, 2]


# -- the engine --------------------------------------------------------------------------------------------------


class Twins:
    """Sessions of an engine under test, each turn of which is compared with one that feeds everything again.

    A token's random number depends on its position and the session's seed alone, so both must sample the same.
    """

    def __init__(self, engine: TransformersEngine, reference: TransformersEngine, atol: float) -> None:
        self.engine, self.reference, self.atol = engine, reference, atol
        self.ids: dict[int, NDArray[np.int32]] = {}
        self.seeds: dict[int, int] = {}

    def open(self, seed: int) -> int:
        return self._add(self.engine.open(seed), np.empty(0, np.int32), seed)

    def fork(self, handle: int, seed: int, length: int) -> int:
        return self._add(self.engine.fork(handle, seed, length=length), self.ids[handle][:length], seed)

    def release(self, handle: int) -> None:
        self.engine.release(handle)
        del self.ids[handle], self.seeds[handle]

    async def generate(self, handle: int, fed: NDArray[np.int32], params: SamplingParams) -> None:
        completion = await self.engine.generate(handle, fed, params)
        context = np.concatenate([self.ids[handle], fed])
        again = self.reference.open(self.seeds[handle])
        expected = await self.reference.generate(again, context, params)
        self.reference.release(again)
        self.ids[handle] = np.concatenate([context, completion.ids])
        assert completion.ids.tolist() == expected.ids.tolist()
        np.testing.assert_allclose(completion.logprobs, expected.logprobs, atol=self.atol, rtol=0)
        np.testing.assert_allclose(completion.entropies, expected.entropies, atol=self.atol, rtol=0)

    def _add(self, handle: int, ids: NDArray[np.int32], seed: int) -> int:
        self.ids[handle], self.seeds[handle] = ids, seed
        return handle


async def play_at_random(twins: Twins, rng: np.random.Generator, rounds: int, slots: int) -> None:
    """Open, fork anywhere, release in any order, and let random subsets speak at the same time.

    First prompts begin with parts of one text, so that some begin alike.
    """
    text = rng.integers(0, VOCAB_SIZE, 40).astype(np.int32)

    def fed(handle: int) -> NDArray[np.int32]:
        common = text[: 0 if len(twins.ids[handle]) else rng.integers(len(text))]
        return np.concatenate([common, random_ids(rng)])

    for _ in range(rounds):
        handles = list(twins.ids)
        while len(twins.ids) < slots and (not twins.ids or rng.random() < 0.4):
            twins.open(int(rng.integers(100)))
        while handles and len(twins.ids) < slots and rng.random() < 0.7:
            parent = handles[rng.integers(len(handles))]
            if len(twins.ids[parent]):
                length = int(rng.integers(1, len(twins.ids[parent]) + 1))
                twins.fork(parent, int(rng.integers(100)), length)
        speaking = [handle for handle in twins.ids if rng.random() < 0.6 and len(twins.ids[handle]) < 70]
        params = SamplingParams(max_tokens=int(rng.integers(1, 6)))
        await asyncio.gather(*(twins.generate(handle, fed(handle), params) for handle in speaking))
        for handle in list(twins.ids):
            if rng.random() < 0.2 or len(twins.ids[handle]) >= 70:
                twins.release(handle)


@pytest.mark.parametrize("min_shared", [1, 9, NEVER])
@pytest.mark.parametrize("use_lean", [True, False])
def test_random_lives_equal_feeding_everything_again(any_model: Any, use_lean: bool, min_shared: int) -> None:
    options = {"use_lean": use_lean, "max_sessions": 6}
    engine = make(any_model, min_shared=min_shared, **options)
    twins = Twins(engine, make(any_model, min_shared=NEVER, share_prompts=False, **options), atol=2e-5)
    asyncio.run(play_at_random(twins, generator(min_shared, "lives"), rounds=12, slots=6))
    for handle in list(twins.ids):
        twins.release(handle)
    assert engine.kv_bytes == 0


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_random_lives_in_float64(device: str) -> None:
    model = build("qwen3").double().to(device)
    twins = Twins(make(model), make(model, min_shared=NEVER, share_prompts=False), atol=1e-6)
    asyncio.run(play_at_random(twins, generator(5, "lives"), rounds=15, slots=8))


async def branch(engine: TransformersEngine, ids: NDArray[np.int32], lengths: list[int]) -> tuple[int, list[int]]:
    parent = engine.open(0)
    await engine.generate(parent, ids, SamplingParams(max_tokens=1))
    return parent, [engine.fork(parent, index, length=length) for index, length in enumerate(lengths)]


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]])
def test_released_in_any_order_the_others_go_on(order: list[int]) -> None:
    """A parent, two forks and a fork of a fork; whoever is left samples as if nobody had shared with it."""
    model = build("qwen3")
    twins = Twins(make(model, max_sessions=4), make(model, share_prompts=False), atol=2e-5)
    rng = generator(0, "order")

    async def run() -> None:
        parent = twins.open(1)
        await twins.generate(parent, random_ids(rng, 30), SamplingParams(max_tokens=5))
        handles = [parent, *(twins.fork(parent, seed, len(twins.ids[parent]) - seed) for seed in (1, 3))]
        await twins.generate(handles[1], random_ids(rng), SamplingParams(max_tokens=5))
        handles.append(twins.fork(handles[1], 9, len(twins.ids[handles[1]]) - 2))
        for index in order:
            await asyncio.gather(*(twins.generate(h, random_ids(rng), SamplingParams(max_tokens=4)) for h in twins.ids))
            twins.release(handles[index])

    asyncio.run(run())
    assert twins.engine.kv_bytes == 0


def test_what_is_shared_counts_once(model: Any) -> None:
    ids = np.arange(41, dtype=np.int32)
    counted = {}
    for min_shared in (1, NEVER):
        engine = make(model, min_shared=min_shared)
        parent, forks = asyncio.run(branch(engine, ids, [41, 41, 31]))
        counted[min_shared] = [engine.kv_bytes]
        for handle in (parent, *forks):
            engine.release(handle)
            counted[min_shared].append(engine.kv_bytes)
    position = counted[NEVER][-2] // 30
    assert [held / position for held in counted[NEVER]] == [41 + 40 + 40 + 30, 40 + 40 + 30, 40 + 30, 30, 0]
    # The block has the 40 positions that the first fork took; the last fork refers to 30 of them and keeps all.
    assert [held / position for held in counted[1]] == [41, 40, 40, 40, 0]


@pytest.mark.parametrize("use_lean", [True, False])
def test_models_that_do_not_run_lean_copy(model: Any, use_lean: bool) -> None:
    engine = make(model, use_lean=use_lean)
    asyncio.run(branch(engine, np.arange(41, dtype=np.int32), [41]))
    is_lean = use_lean and LeanModel.fits(model)
    position = engine.kv_bytes // (41 if is_lean else 81)
    assert position * (41 if is_lean else 81) == engine.kv_bytes
    assert position == 2 * model.config.num_hidden_layers * model.config.num_key_value_heads * WIDTH * 4


def test_few_positions_are_copied(model: Any) -> None:
    engine = make(model, min_shared=20)
    parent, (short, _) = asyncio.run(branch(engine, np.arange(41, dtype=np.int32), [20, 21]))
    engine.release(parent)
    both = engine.kv_bytes
    engine.release(short)
    assert (both - engine.kv_bytes) * 20 == engine.kv_bytes * 19


@pytest.mark.parametrize(("length", "is_shared"), [(2049, True), (2048, False)])
def test_by_default_long_prefixes_are_shared(length: int, is_shared: bool) -> None:
    """16 numbers (two heads of 8) a position: 2048 positions are worth a part of their own."""
    model = build("qwen3", max_positions=2100)
    engine = make(model, min_shared=None, max_sessions=2, max_context=2100)
    parent, _ = asyncio.run(branch(engine, np.arange(2060, dtype=np.int32) % VOCAB_SIZE, [length]))
    both = engine.kv_bytes
    engine.release(parent)
    assert (both < engine.kv_bytes * 3 / 2) is is_shared


def test_an_idle_fork_between_running_sessions_keeps_its_cache() -> None:
    """A decoding batch may carry idle rows; what it computes for them must not fall on what they hold."""
    model = build("qwen3")
    twins = Twins(make(model, min_shared=NEVER), make(model, share_prompts=False), atol=2e-5)
    params = SamplingParams(max_tokens=5)
    rng = generator(0, "idle")

    async def run() -> None:
        first = twins.open(1)
        await twins.generate(first, random_ids(rng, 30), params)
        fork = twins.fork(first, 2, len(twins.ids[first]))
        last = twins.open(3)
        await asyncio.gather(*(twins.generate(handle, random_ids(rng), params) for handle in (first, last)))
        await twins.generate(fork, random_ids(rng), params)

    asyncio.run(run())


def test_new_weights_after_all_shares_are_gone() -> None:
    model = build("qwen3")
    engine = make(model)
    parent, forks = asyncio.run(branch(engine, np.arange(41, dtype=np.int32), [41, 20]))
    for handle in (parent, *forks):
        engine.release(handle)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.9)
    engine.policy_version += 1
    params = SamplingParams(max_tokens=2)
    twins = Twins(engine, make(model, share_prompts=False), atol=2e-5)

    async def run() -> None:
        parent = twins.open(0)
        await twins.generate(parent, np.arange(41, dtype=np.int32), params)
        forks = [twins.fork(parent, seed, 30) for seed in (1, 2)]
        await asyncio.gather(*(twins.generate(fork, np.arange(3, dtype=np.int32), params) for fork in forks))

    asyncio.run(run())
