"""The slot engine against transformers' own generate and against plain forward passes."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import GPT2Config, GPT2LMHeadModel

from agentrl.engines.base import Completion, SamplingParams
from agentrl.engines.cache.slots import slot_attention
from agentrl.engines.transformers import TransformersEngine
from agentrl.errors import ConfigError, EngineError, ModelError
from agentrl.seeding import generator
from agentrl.types import StopReason
from tests.agentrl.engines.conversations import check_against_forward, whole
from tests.agentrl.engines.tiny import VOCAB_SIZE, build

GREEDY = SamplingParams(max_tokens=6, temperature=0.0)
DRAWN = SamplingParams(max_tokens=6)


def make(model: Any, tokenizer: Any = None, **kwargs: Any) -> TransformersEngine:
    return TransformersEngine(model, tokenizer, **{"max_sessions": 8, "max_context": 96, **kwargs})


def prompts(count: int, turns: int, seed: int = 0, longest: int = 9) -> list[list[NDArray[np.int32]]]:
    rng = generator(seed, "prompts")
    return [
        [rng.integers(0, VOCAB_SIZE, rng.integers(1, longest + 1)).astype(np.int32) for _ in range(turns)]
        for _ in range(count)
    ]


async def converse(
    engine: TransformersEngine, observations: Sequence[NDArray[np.int32]], params: SamplingParams, seed: int = 0
) -> list[Completion]:
    """Play all turns of one session; each reply waits a number of event-loop rounds, as an environment would."""
    session = engine.open(seed)
    completions = []
    for turn, ids in enumerate(observations):
        completions.append(await engine.generate(session, ids, params))
        for _ in range((seed + turn) % 3):
            await asyncio.sleep(0)
    engine.release(session)
    return completions


def converse_all(
    engine: TransformersEngine, conversations: Sequence[Sequence[NDArray[np.int32]]], params: SamplingParams
) -> list[list[Completion]]:
    async def run() -> list[list[Completion]]:
        return list(await asyncio.gather(*(converse(engine, c, params, s) for s, c in enumerate(conversations))))

    return asyncio.run(run())


@pytest.mark.parametrize("use_lean", [True, False])
def test_greedy_turns_equal_generate(any_model: Any, use_lean: bool) -> None:
    conversations = prompts(5, turns=3)
    for observations, completions in zip(
        conversations, converse_all(make(any_model, use_lean=use_lean), conversations, GREEDY), strict=True
    ):
        context = np.empty(0, np.int32)
        for observed, completion in zip(observations, completions, strict=True):
            context = np.concatenate([context, observed])
            out = any_model.generate(
                torch.from_numpy(context).long()[None],
                max_new_tokens=6,
                do_sample=False,
                attention_mask=torch.ones(1, len(context)).long(),
            )
            assert out[0, len(context) :].tolist() == completion.ids.tolist()
            context = np.concatenate([context, completion.ids])


@pytest.mark.parametrize("use_lean", [True, False])
@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_logprobs_and_entropies_equal_a_full_forward_pass(any_model: Any, temperature: float, use_lean: bool) -> None:
    conversations = prompts(6, turns=3)
    params = SamplingParams(max_tokens=5, temperature=temperature, top_p=0.9)
    for observations, completions in zip(
        conversations, converse_all(make(any_model, use_lean=use_lean), conversations, params), strict=True
    ):
        check_against_forward(any_model, observations, completions, temperature or 1.0)


@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_alternatives_are_reported_to_those_who_ask(any_model: Any, temperature: float) -> None:
    """Turns that ask and turns that do not, in one batch; asking changes nothing that is sampled."""
    conversations = prompts(6, turns=3)
    asking = SamplingParams(max_tokens=5, temperature=temperature, alternatives=True)
    plain = SamplingParams(max_tokens=5, temperature=temperature)
    engine = make(any_model)

    async def run() -> list[list[Completion]]:
        turns = (converse(engine, c, asking if s % 2 else plain, s) for s, c in enumerate(conversations))
        return list(await asyncio.gather(*turns))

    for seed, (observations, completions) in enumerate(zip(conversations, asyncio.run(run()), strict=True)):
        assert all((one.alternatives is not None) == bool(seed % 2) for one in completions)
        check_against_forward(any_model, observations, completions, temperature or 1.0)
    unasked = converse_all(make(any_model), conversations, plain)
    asked = converse_all(make(any_model), conversations, asking)
    assert [[c.ids.tolist() for c in one] for one in asked] == [[c.ids.tolist() for c in one] for one in unasked]


def test_other_families_run_through_their_own_modules() -> None:
    """GPT-2 has learned positions, which padding must not leave, and one projection for query, key and value."""
    config = GPT2Config(
        vocab_size=VOCAB_SIZE, n_embd=32, n_layer=2, n_head=4, n_positions=96, initializer_range=0.3,
        bos_token_id=None, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = GPT2LMHeadModel(config).eval()
    test_greedy_turns_equal_generate(model, use_lean=True)


def test_attention_with_a_bias_is_refused(model: Any) -> None:
    with pytest.raises(ModelError, match="position_bias"):
        slot_attention(model, *torch.zeros(4, 1, 1, 1, 1), position_bias=torch.zeros(1))


@pytest.mark.parametrize("use_lean", [True, False])
def test_half_precision(use_lean: bool) -> None:
    model = build("qwen3").bfloat16()
    conversations = prompts(3, turns=2)
    engine = make(model, use_lean=use_lean)
    for observations, completions in zip(conversations, converse_all(engine, conversations, DRAWN), strict=True):
        ids = torch.from_numpy(whole(observations, completions)).long()
        with torch.no_grad():
            logprobs = torch.log_softmax(build("qwen3")(input_ids=ids[None]).logits[0], dim=-1)
        first = len(observations[0]) - 1
        count = len(completions[0].ids)
        expected = logprobs[first : first + count].gather(1, ids[first + 1 : first + 1 + count, None])[:, 0]
        np.testing.assert_allclose(completions[0].logprobs, expected, atol=0.3)


def test_same_seed_same_turns_whatever_else_is_served(model: Any) -> None:
    conversations = prompts(8, turns=3)
    together = converse_all(make(model), conversations, DRAWN)
    for seed, observations in enumerate(conversations):
        engine = make(model, max_sessions=1)
        alone = asyncio.run(converse(engine, observations, DRAWN, seed))
        assert [c.ids.tolist() for c in alone] == [c.ids.tolist() for c in together[seed]]


def test_different_seeds_differ(model: Any) -> None:
    (observations,) = prompts(1, turns=2)
    engine = make(model)
    first, second = (asyncio.run(converse(engine, observations, DRAWN, seed)) for seed in (1, 2))
    assert whole(observations, first).tolist() != whole(observations, second).tolist()


def test_fork_continues_where_its_parent_was(model: Any) -> None:
    (observations,) = prompts(1, turns=3)
    engine = make(model)

    async def run() -> list[list[Completion]]:
        parent = engine.open(1)
        first = await engine.generate(parent, observations[0], DRAWN)
        same, other = engine.fork(parent, 1), engine.fork(parent, 2)
        turns = []
        for session in (same, other, parent):
            rest = [await engine.generate(session, ids, DRAWN) for ids in observations[1:]]
            turns.append([first, *rest])
        return turns

    same, other, parent = asyncio.run(run())
    for completions in (same, other, parent):
        check_against_forward(model, observations, completions, 1.0)
    assert whole(observations, same).tolist() == whole(observations, parent).tolist()
    assert whole(observations, other).tolist() != whole(observations, parent).tolist()


@pytest.mark.parametrize("use_lean", [True, False])
def test_fork_at_any_token_continues_from_there(any_model: Any, use_lean: bool) -> None:
    """Fork after every id of a session that went on; the parent is not disturbed."""
    (observations,) = prompts(1, turns=3)
    engine = make(any_model, use_lean=use_lean)

    async def run() -> None:
        parent = engine.open(1)
        turns = [await engine.generate(parent, ids, DRAWN) for ids in observations[:2]]
        ids = whole(observations[:2], turns)
        for length in range(1, len(ids) + 1):
            fork = engine.fork(parent, 7, length=length)
            context = np.concatenate([ids[:length], observations[2]])
            check_against_forward(any_model, [context], [await engine.generate(fork, observations[2], DRAWN)], 1.0)
            engine.release(fork)
        turns.append(await engine.generate(parent, observations[2], DRAWN))
        check_against_forward(any_model, observations, turns, 1.0)

    asyncio.run(run())


def test_fork_with_the_parents_seed_samples_the_same_from_any_token_on(model: Any) -> None:
    engine = make(model)

    async def run() -> None:
        parent = engine.open(3)
        first = await engine.generate(parent, PROMPT, DRAWN)
        for length in range(1, len(PROMPT)):
            fork = engine.fork(parent, 3, length=length)
            assert (await engine.generate(fork, PROMPT[length:], DRAWN)).ids.tolist() == first.ids.tolist()
            engine.release(fork)

    asyncio.run(run())


@pytest.mark.parametrize("length", [-1, 0, 15])
def test_fork_outside_the_session_is_refused(model: Any, length: int) -> None:
    engine = make(model)
    session = engine.open(0)
    asyncio.run(engine.generate(session, PROMPT, GREEDY))
    with pytest.raises(EngineError, match=f"after {length} ids: the session holds 14, so length is from 1 to 14"):
        engine.fork(session, 1, length=length)


def test_fork_of_an_empty_session(model: Any) -> None:
    (observations,) = prompts(1, turns=1)
    engine = make(model)
    fork = engine.fork(engine.open(1), 5)
    forked = asyncio.run(engine.generate(fork, observations[0], DRAWN))
    assert forked.ids.tolist() == asyncio.run(converse(make(model), observations, DRAWN, 5))[0].ids.tolist()


@pytest.mark.parametrize("released", [range(0), range(2, 5), range(1, 7)])
def test_sparse_batches_are_gathered_or_moved_together(model: Any, released: range) -> None:
    """Two of eight sessions go on, in the first and the last slot; the others idle or leave their slots free."""
    conversations = prompts(8, turns=4)
    engine = make(model)

    async def run() -> dict[int, list[Completion]]:
        handles = [engine.open(seed) for seed in range(8)]
        first = [await engine.generate(h, conversations[h - 1][0], DRAWN) for h in handles]
        for index in released:
            engine.release(handles[index])

        async def rest(seed: int) -> list[Completion]:
            return [first[seed]] + [await engine.generate(handles[seed], ids, DRAWN) for ids in conversations[seed][1:]]

        return dict(zip((0, 7), await asyncio.gather(rest(0), rest(7)), strict=True))

    for seed, completions in asyncio.run(run()).items():
        check_against_forward(model, conversations[seed], completions, 1.0)
        alone = asyncio.run(converse(make(model), conversations[seed], DRAWN, seed))
        assert [c.ids.tolist() for c in completions] == [c.ids.tolist() for c in alone]


def test_long_prompts_are_prefilled_in_pieces(model: Any) -> None:
    conversations = prompts(5, turns=2, longest=35)
    params = SamplingParams(max_tokens=4)
    for prefill_tokens in (1, 7, 40):
        engine = make(model, prefill_tokens=prefill_tokens)
        for observations, completions in zip(conversations, converse_all(engine, conversations, params), strict=True):
            check_against_forward(model, observations, completions, 1.0)


@pytest.mark.parametrize("patience", [0.0, 100.0])
def test_patience_changes_the_schedule_only(model: Any, patience: float) -> None:
    conversations = prompts(6, turns=3)
    results = converse_all(make(model, prefill_patience=patience), conversations, GREEDY)
    expected = converse_all(make(model), conversations, GREEDY)
    assert [[c.ids.tolist() for c in r] for r in results] == [[c.ids.tolist() for c in r] for r in expected]


def test_mixed_sampling_in_one_batch(model: Any) -> None:
    (observations,) = prompts(1, turns=1)
    kinds = [GREEDY, DRAWN, SamplingParams(max_tokens=6, temperature=0.5, top_p=0.5), SamplingParams(6, 0.0, 0.5)]
    engine = make(model)

    async def run() -> list[Completion]:
        return await asyncio.gather(*(engine.generate(engine.open(3), observations[0], kind) for kind in kinds))

    together = asyncio.run(run())
    for kind, completion in zip(kinds, together, strict=True):
        (alone,) = asyncio.run(converse(make(model), observations, kind, 3))
        assert completion.ids.tolist() == alone.ids.tolist()
        check_against_forward(model, observations, [completion], kind.temperature or 1.0)
    assert together[0].ids.tolist() == together[3].ids.tolist()


# -- stopping ----------------------------------------------------------------------------------------------------


def greedy_ids(model: Any, prompt: NDArray[np.int32], count: int) -> list[int]:
    """Return the ids a model says greedily to a prompt."""
    params = SamplingParams(max_tokens=count, temperature=0.0)
    return asyncio.run(converse(make(model), [prompt], params))[0].ids.tolist()


PROMPT = np.arange(40, 48, dtype=np.int32)


def test_stops_at_max_tokens(model: Any) -> None:
    (completion,) = asyncio.run(converse(make(model), [PROMPT], SamplingParams(max_tokens=1)))
    assert (len(completion.ids), completion.stop_reason) == (1, StopReason.MAX_TOKENS)


def test_stops_at_a_stop_token_and_keeps_it(model: Any) -> None:
    ids = greedy_ids(model, PROMPT, 12)
    token = ids[5]
    params = SamplingParams(max_tokens=12, temperature=0.0, stop_token_ids=(token, 3))
    (completion,) = asyncio.run(converse(make(model), [PROMPT], params))
    assert completion.ids.tolist() == ids[: ids.index(token) + 1]
    assert completion.stop_reason is StopReason.END


@pytest.mark.parametrize("family", ["qwen3", "llama"])
def test_stops_at_a_stop_string(family: str, tokenizer: Any) -> None:
    model = build(family)
    ids = greedy_ids(model, PROMPT, 12)
    string = tokenizer.decode(ids[3:6])
    params = SamplingParams(max_tokens=12, temperature=0.0, stop=(string, "never said"))
    (completion,) = asyncio.run(converse(make(model, tokenizer), [PROMPT], params))
    ends = [end for end in range(1, 13) if string in tokenizer.decode(ids[:end])]
    assert completion.ids.tolist() == ids[: ends[0]]
    assert completion.stop_reason is StopReason.STOP_STRING


def test_stop_strings_do_not_reach_into_the_prompt(model: Any, tokenizer: Any) -> None:
    ids = greedy_ids(model, PROMPT, 4)
    string = tokenizer.decode([int(PROMPT[-1]), ids[0]])
    params = SamplingParams(max_tokens=4, temperature=0.0, stop=(string,))
    (completion,) = asyncio.run(converse(make(model, tokenizer), [PROMPT], params))
    assert (completion.ids.tolist(), completion.stop_reason) == (ids, StopReason.MAX_TOKENS)


def test_stops_when_the_context_is_full(model: Any) -> None:
    engine = make(model, max_context=len(PROMPT) + 5)

    async def run() -> Completion:
        session = engine.open(0)
        completion = await engine.generate(session, PROMPT, SamplingParams(max_tokens=50, temperature=0.0))
        with pytest.raises(EngineError, match="no room"):
            await engine.generate(session, PROMPT, GREEDY)
        return completion

    completion = asyncio.run(run())
    assert completion.ids.tolist() == greedy_ids(model, PROMPT, 5)
    assert completion.stop_reason is StopReason.CONTEXT_FULL


# -- misuse and failure ------------------------------------------------------------------------------------------


def test_misuse_is_refused(model: Any) -> None:
    engine = make(model, max_sessions=2)

    async def refused(ids: list[int], match: str, session: int, params: SamplingParams = GREEDY) -> None:
        with pytest.raises(EngineError, match=match):
            await engine.generate(session, np.array(ids, np.int32), params)

    async def run() -> None:
        session = engine.open(0)
        await refused([1], "no session 77", 77)
        await refused([], "non-empty", session)
        await refused([VOCAB_SIZE], f"vocabulary has {VOCAB_SIZE}", session)
        await refused([1] * 96, "no room", session)
        await refused([1], "stop token 1000", session, SamplingParams(stop_token_ids=(1000,)))
        await refused([1], "need a tokenizer", session, SamplingParams(stop=("x",)))
        await refused([1], "empty stop string", session, SamplingParams(stop=("",)))
        engine.open(1)
        with pytest.raises(EngineError, match="all 2 slots are taken"):
            engine.fork(session, 2)
        with pytest.raises(EngineError, match="sessions are open"):
            engine.policy_version += 1
        assert len((await engine.generate(session, PROMPT, GREEDY)).ids) == 6

    asyncio.run(run())
    with pytest.raises(ModelError, match="128 positions"):
        make(model, max_context=129)


def test_out_of_range_parameters_are_refused() -> None:
    for wrong in ({"max_tokens": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"top_p": 1.1}):
        with pytest.raises(ConfigError):
            SamplingParams(**wrong)


def test_a_busy_session_is_refused(model: Any) -> None:
    engine = make(model)

    async def run() -> None:
        session = engine.open(0)
        turn = asyncio.ensure_future(engine.generate(session, PROMPT, GREEDY))
        await asyncio.sleep(0)
        with pytest.raises(EngineError, match="still sampling"):
            engine.fork(session, 1)
        assert len((await turn).ids) == 6

    asyncio.run(run())


def test_sliding_windows_are_the_models_own(model: Any) -> None:
    config = model.config.__class__(
        **{**model.config.to_dict(), "layer_types": ["full_attention", "sliding_attention"], "sliding_window": 12}
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        sliding = type(model)(config).eval()
    if sliding.model.layers[1].self_attn.sliding_window is None:
        pytest.skip("a Llama has no windows")
    test_greedy_turns_equal_generate(sliding, use_lean=True)


def test_a_failing_model_fails_everyone_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("qwen3")
    engine = make(model, use_lean=False)
    monkeypatch.setattr(model.lm_head, "forward", lambda hidden: 1 / 0)

    async def run() -> list[Any]:
        sessions = [engine.open(seed) for seed in range(3)]
        turns = (engine.generate(session, PROMPT, GREEDY) for session in sessions)
        results = await asyncio.gather(*turns, return_exceptions=True)
        with pytest.raises(EngineError, match="release it"):
            await engine.generate(sessions[0], PROMPT, GREEDY)
        for session in sessions:
            engine.release(session)
        return results

    for result in asyncio.run(run()):
        assert isinstance(result, EngineError) and isinstance(result.__cause__, ZeroDivisionError)
    monkeypatch.undo()
    assert greedy_ids(model, PROMPT, 6) == asyncio.run(converse(engine, [PROMPT], GREEDY))[0].ids.tolist()


def test_cancelled_turns_leave_the_others_alone(model: Any) -> None:
    engine = make(model)

    async def run() -> Completion:
        kept, cancelled, released = (engine.open(seed) for seed in range(3))
        turns = [asyncio.ensure_future(engine.generate(s, PROMPT, GREEDY)) for s in (kept, cancelled, released)]
        for _ in range(4):
            await asyncio.sleep(0)
        turns[1].cancel()
        engine.release(released)
        results = await asyncio.gather(*turns, return_exceptions=True)
        assert [isinstance(r, asyncio.CancelledError) for r in results] == [False, True, True]
        return results[0]

    assert asyncio.run(run()).ids.tolist() == greedy_ids(model, PROMPT, 6)


def test_an_abandoned_event_loop_does_not_spoil_the_next(model: Any) -> None:
    engine = make(model)
    session = engine.open(0)

    async def abandon() -> None:
        turn = asyncio.ensure_future(engine.generate(session, PROMPT, GREEDY))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not turn.done()

    asyncio.run(abandon())
    engine.release(session)
    assert asyncio.run(converse(engine, [PROMPT], GREEDY))[0].ids.tolist() == greedy_ids(model, PROMPT, 6)


def test_new_weights_are_used_and_stamped(tokenizer: Any) -> None:
    model = build("qwen3")
    engine = make(model)
    (before,) = asyncio.run(converse(engine, [PROMPT], GREEDY))
    model.train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.9)
    engine.policy_version += 1
    (after,) = asyncio.run(converse(engine, [PROMPT], GREEDY))
    assert model.training
    assert (before.policy_version, after.policy_version) == (0, 1)
    check_against_forward(model, [PROMPT], [after], 1.0)
    assert not np.allclose(before.logprobs, after.logprobs)


def test_dtypes_of_a_completion(model: Any) -> None:
    (completion,) = asyncio.run(converse(make(model), [PROMPT], DRAWN))
    dtypes = [a.dtype for a in (completion.ids, completion.logprobs, completion.entropies)]
    assert dtypes == [np.int32, np.float32, np.float32]
