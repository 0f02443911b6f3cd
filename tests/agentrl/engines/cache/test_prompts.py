"""What first prompts have in common: found as a search over all pairs finds it, computed once, sampled as if alone."""

import asyncio
from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agentrl.engines.base import Completion, SamplingParams
from agentrl.engines.cache.prompts import Prompts
from agentrl.engines.cache.sessions import Session
from agentrl.engines.transformers import TransformersEngine
from agentrl.seeding import generator
from tests.agentrl.engines.conversations import check_against_forward
from tests.agentrl.engines.tiny import VOCAB_SIZE

PARAMS = SamplingParams(max_tokens=4)


def num_common(first: Sequence[int], second: Sequence[int]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def test_closest_equals_a_search_over_all_sessions() -> None:
    rng = generator(0, "prompts")
    prompts, sessions = Prompts(), []
    assert prompts.closest(np.arange(3)) == (None, 0)
    for _ in range(400):
        # Ids 0, 1 and 256 have common bytes without being equal.
        ids = rng.choice([0, 1, 256], rng.integers(1, 9)).astype(np.int64)
        best, common = prompts.closest(ids)
        expected = [num_common(session.ids[:-1].tolist(), ids[:-1].tolist()) for session in sessions]
        assert common == max(expected, default=0)
        assert best is None or expected[sessions.index(best)] == common
        session = Session(0, ids=ids)
        prompts.add(session)
        sessions.append(session)
        if rng.random() < 0.5:
            prompts.discard(sessions.pop(rng.integers(len(sessions))))
    prompts.discard(session)
    prompts.discard(session)


class Counting(TransformersEngine):
    """Counts the tokens of each pass."""

    def __init__(self, model: Any, **kwargs: Any) -> None:
        super().__init__(model, None, **{"max_sessions": 8, "max_context": 96, **kwargs})
        self.passes: list[int] = []
        write, width = self._cache.write, model.config.num_hidden_layers

        def counted(layer: int, slots: Any, *rest: Any) -> None:
            if layer == width - 1:
                self.passes.append(slots.numel())
            write(layer, slots, *rest)

        self._cache.write = counted  # type: ignore[method-assign]


def group(engine: TransformersEngine, fed: Sequence[NDArray[np.int32]], turns: int = 2) -> list[list[Completion]]:
    """Play sessions that are fed these prompts, and the same in reverse in the next turn."""

    async def member(seed: int, ids: NDArray[np.int32]) -> list[Completion]:
        session = engine.open(seed)
        said = [await engine.generate(session, ids[:: (-1) ** turn], PARAMS) for turn in range(turns)]
        engine.release(session)
        return said

    async def run() -> list[list[Completion]]:
        return list(await asyncio.gather(*(member(seed, ids) for seed, ids in enumerate(fed))))

    return asyncio.run(run())


PROMPT = np.arange(40, dtype=np.int32)
BEGINNING = [np.concatenate([PROMPT[:20], generator(s, "rest").integers(0, VOCAB_SIZE, 5 + s)]) for s in range(5)]


@pytest.mark.parametrize("min_shared", [1, 10**9])
@pytest.mark.parametrize("prompts", [[PROMPT] * 6, BEGINNING], ids=["the same", "a common beginning"])
def test_members_sample_as_if_alone(any_model: Any, prompts: list[NDArray[np.int32]], min_shared: int) -> None:
    fed = [ids.astype(np.int32) for ids in prompts]
    engine = Counting(any_model, min_shared=min_shared)
    together, apart = group(engine, fed), group(Counting(any_model, share_prompts=False), fed)
    for ids, said, expected in zip(fed, together, apart, strict=True):
        assert [one.ids.tolist() for one in said] == [one.ids.tolist() for one in expected]
        check_against_forward(any_model, [ids, ids[::-1]], said, 1.0)
    assert engine.kv_bytes == 0


def test_a_groups_prompt_is_computed_once(model: Any) -> None:
    once, each = Counting(model), Counting(model, share_prompts=False)
    group(once, [PROMPT] * 6, turns=1)
    group(each, [PROMPT] * 6, turns=1)
    # The first computes the prompt and samples; the others take over all but the pending token and sample.
    assert (once.passes[0], once.passes[1]) == (40, 6)
    assert each.passes[0] == 6 * 40
    assert sum(each.passes) - sum(once.passes) == 5 * 39


def test_a_common_beginning_is_computed_once(model: Any) -> None:
    once, each = Counting(model), Counting(model, share_prompts=False)
    fed = [ids.astype(np.int32) for ids in BEGINNING]
    group(once, fed, turns=1)
    group(each, fed, turns=1)
    assert sum(each.passes) - sum(once.passes) == 4 * 20


def test_who_comes_later_takes_over_from_who_speaks_and_who_is_done(model: Any) -> None:
    engine = Counting(model, min_shared=1)

    async def run() -> list[Completion]:
        first = engine.open(0)
        turn = asyncio.ensure_future(engine.generate(first, PROMPT, SamplingParams(max_tokens=20)))
        while len(engine.passes) < 5:
            await asyncio.sleep(0)
        said = [await engine.generate(engine.open(1), PROMPT, PARAMS)]
        assert not turn.done()
        said.append(await turn)
        said.append(await engine.generate(engine.open(2), PROMPT, PARAMS))
        engine.release(first)
        said.append(await engine.generate(engine.open(3), PROMPT, PARAMS))
        return said

    for completion in asyncio.run(run()):
        check_against_forward(model, [PROMPT], [completion], 1.0)
    assert max(engine.passes[1:]) <= 2


def test_what_members_share_counts_once(model: Any) -> None:
    async def run(engine: TransformersEngine) -> int:
        await asyncio.gather(*(engine.generate(engine.open(s), PROMPT, SamplingParams(max_tokens=1)) for s in range(4)))
        return engine.kv_bytes

    shared, copied = (asyncio.run(run(Counting(model, min_shared=m))) for m in (1, 10**9))
    assert shared * 4 * 40 == copied * (39 + 4)


def test_nobody_takes_over_what_a_failed_pass_left(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Counting(model)

    async def run() -> Completion:
        with monkeypatch.context() as patch:
            patch.setattr("agentrl.engines.transformers.sample", lambda *args: 1 / 0)
            with pytest.raises(Exception, match="division by zero"):
                await engine.generate(engine.open(0), PROMPT, PARAMS)
        return await engine.generate(engine.open(1), PROMPT, PARAMS)

    check_against_forward(model, [PROMPT], [asyncio.run(run())], 1.0)
    assert engine.passes[:2] == [40, 40]
