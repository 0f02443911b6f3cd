"""The vLLM engine against the real library on CPU: run by `make test-vllm`."""

import asyncio
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from transformers import Qwen3Config, Qwen3ForCausalLM

from agentrl.context import make_context
from agentrl.engines.base import Completion, SamplingParams
from agentrl.engines.vllm import VllmEngine
from agentrl.errors import ConfigError, EngineError
from agentrl.rollout import Rollout, group_specs
from agentrl.rollout.branching import Arpo, Latr, Sampler
from agentrl.seeding import generator
from agentrl.types import StopReason
from tests.agentrl.engines.conversations import check_against_forward, whole
from tests.agentrl.rollout.toys import Corridor, byte_tokenizer

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vLLM is not installed: make test-vllm"),
    # Others' code: vLLM and what it imports warn of deprecations.
    pytest.mark.filterwarnings("ignore"),
]

VOCAB_SIZE = len(byte_tokenizer())
GREEDY = SamplingParams(max_tokens=6, temperature=0.0)
DRAWN = SamplingParams(max_tokens=6)
BLOCK = 32
"""The smallest block of the prefix cache on CPU."""


def tiny_model(*, tied: bool = False) -> Any:
    """Return a random model with heads that vLLM's attention on CPU can serve."""
    config = Qwen3Config(
        vocab_size=VOCAB_SIZE, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, max_position_embeddings=256, initializer_range=0.3, bos_token_id=None,
        eos_token_id=None, pad_token_id=0, tie_word_embeddings=tied,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return Qwen3ForCausalLM(config).eval()


def start(folder: Path, model: Any, **settings: Any) -> VllmEngine:
    tokenizer = byte_tokenizer()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = {"max_sessions": 8, "max_context": 128, "top_logprobs": VOCAB_SIZE, **settings}
    return VllmEngine.start(str(folder), tokenizer, enforce_eager=True, block_size=BLOCK, **settings)


@pytest.fixture(scope="module")
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What is special about the engine: nothing, unless a test says so. A process has one vLLM at a time."""
    return dict(getattr(request, "param", {}))


@pytest.fixture(scope="module")
def model(settings: dict[str, Any]) -> Any:
    return tiny_model(tied=settings.pop("tied", False))


@pytest.fixture(scope="module")
def engine(model: Any, settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmEngine]:
    engine = start(tmp_path_factory.mktemp("model"), model, **settings)
    yield engine
    engine.close()


@pytest.fixture(autouse=True)
def same_weights(engine: VllmEngine, model: Any) -> None:
    engine.load(model, version=0)


def prompts(count: int, turns: int, longest: int = 20) -> list[list[NDArray[np.int32]]]:
    rng = generator(0, "prompts")
    return [
        [rng.integers(0, VOCAB_SIZE, rng.integers(1, longest + 1)).astype(np.int32) for _ in range(turns)]
        for _ in range(count)
    ]


async def converse(
    engine: VllmEngine, observations: Sequence[NDArray[np.int32]], params: SamplingParams, seed: int = 0
) -> list[Completion]:
    session = engine.open(seed)
    completions = [await engine.generate(session, ids, params) for ids in observations]
    engine.release(session)
    return completions


def say(engine: VllmEngine, ids: NDArray[np.int32], params: SamplingParams) -> Completion:
    (completion,) = asyncio.run(converse(engine, [ids], params))
    return completion


# -- sampling ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_logprobs_and_entropies_equal_a_full_forward_pass(engine: VllmEngine, model: Any, temperature: float) -> None:
    """Eight conversations at once; with as many top log-probs as the vocabulary has ids, entropies are exact."""
    conversations = prompts(8, turns=3)
    params = SamplingParams(max_tokens=6, temperature=temperature, alternatives=True)

    async def run() -> list[list[Completion]]:
        return await asyncio.gather(*(converse(engine, c, params, seed) for seed, c in enumerate(conversations)))

    for observations, completions in zip(conversations, asyncio.run(run()), strict=True):
        assert all(one.alternatives is not None for one in completions)
        check_against_forward(model, observations, completions, temperature or 1.0)


def test_greedy_turns_equal_generate(engine: VllmEngine, model: Any) -> None:
    (observations,) = prompts(1, turns=3)
    context = np.empty(0, np.int32)
    for observed, completion in zip(observations, asyncio.run(converse(engine, observations, GREEDY)), strict=True):
        context = np.concatenate([context, observed])
        ids = torch.from_numpy(context).long()[None]
        out = model.generate(ids, max_new_tokens=6, do_sample=False, attention_mask=torch.ones_like(ids))
        assert out[0, len(context) :].tolist() == completion.ids.tolist()
        context = np.concatenate([context, completion.ids])


def test_same_seed_same_turns_whatever_else_is_served(engine: VllmEngine) -> None:
    conversations = prompts(6, turns=2)

    async def run() -> list[list[Completion]]:
        return await asyncio.gather(*(converse(engine, c, DRAWN, seed) for seed, c in enumerate(conversations)))

    for seed, together in enumerate(asyncio.run(run())):
        alone = asyncio.run(converse(engine, conversations[seed], DRAWN, seed))
        assert [c.ids.tolist() for c in alone] == [c.ids.tolist() for c in together]
    first, second = (asyncio.run(converse(engine, conversations[0], DRAWN, seed)) for seed in (1, 2))
    assert whole(conversations[0], first).tolist() != whole(conversations[0], second).tolist()


@pytest.mark.parametrize("settings", [{"max_num_batched_tokens": 128}], indirect=True)
def test_more_prompts_than_a_step_takes(engine: VllmEngine, model: Any) -> None:
    """Eight prompts of 60 ids, of which a step holds two and a part of a third."""
    ids = generator(0, "many").integers(0, VOCAB_SIZE, (8, 60)).astype(np.int32)

    async def run() -> list[list[Completion]]:
        return await asyncio.gather(*(converse(engine, [row], DRAWN, seed) for seed, row in enumerate(ids)))

    for seed, (row, completions) in enumerate(zip(ids, asyncio.run(run()), strict=True)):
        check_against_forward(model, [row], completions, 1.0)
        alone = asyncio.run(converse(engine, [row], DRAWN, seed))
        assert alone[0].ids.tolist() == completions[0].ids.tolist()


# -- forks -------------------------------------------------------------------------------------------------------------


def test_a_fork_shares_the_prefix_and_samples_its_own(engine: VllmEngine, model: Any) -> None:
    observed = generator(0, "long").integers(0, VOCAB_SIZE, 3 * BLOCK - 8).astype(np.int32)

    async def run() -> tuple[list[Completion], int]:
        parent = engine.open(1)
        first = await engine.generate(parent, observed, DRAWN)
        cached = engine.num_cached_tokens
        forks = [engine.fork(parent, seed, length=len(observed) - 1) for seed in (1, 2)]
        turns = [await engine.generate(fork, observed[-1:], DRAWN) for fork in forks]
        return [first, *turns], engine.num_cached_tokens - cached

    (first, same, other), cached = asyncio.run(run())
    assert cached == 2 * 2 * BLOCK  # all full blocks of the prompt, twice
    assert same.ids.tolist() == first.ids.tolist()
    assert other.ids.tolist() != first.ids.tolist()
    for completion in (same, other):
        check_against_forward(model, [observed], [completion], 1.0)


SAMPLERS = [Arpo(scale="mean", initial=2), Latr(tau_abs=0.0, tau_rel=1.0, lookahead=(3,), edit_distance=1.1)]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.name)
@pytest.mark.parametrize("kind", ["append", "inline"])
def test_a_branching_rollout(engine: VllmEngine, model: Any, kind: str, sampler: Sampler) -> None:
    """Episodes of a real environment, forked by a rule: prefixes are shared, recorded numbers are the model's."""
    context = make_context(engine.tokenizer, kind)
    before = engine.num_cached_tokens
    params, specs = SamplingParams(max_tokens=5), group_specs(["corridor-2"], 6, seed=0, iteration=0)
    with Rollout(lambda: Corridor(max_turns=3), engine, context, params, sampler=sampler) as rollout:
        result = rollout.collect(specs)
    assert len(result.trajectories) == 6
    assert any(t.parent is not None and (t.parent.turn > 0 or sampler.alternatives) for t in result.trajectories)
    assert all((t.extra["branching"]["group"]["pruned"] > 0) == sampler.alternatives for t in result.trajectories)
    assert engine.num_cached_tokens > before
    for trajectory in result.trajectories:
        (sequence,) = trajectory.sequences
        ids, mask = torch.from_numpy(sequence.ids_L.astype(np.int64)), sequence.action_mask_L
        with torch.no_grad():
            scores = model(input_ids=ids[None]).logits[0, :-1].log_softmax(-1).gather(1, ids[1:, None])[:, 0]
        np.testing.assert_allclose(sequence.behavior_logprobs_L[mask], scores.numpy()[mask[1:]], atol=1e-4)


# -- stopping ----------------------------------------------------------------------------------------------------------

PROMPT = np.arange(40, 48, dtype=np.int32)


def test_stops_at_a_stop_token_and_keeps_it(engine: VllmEngine) -> None:
    ids = say(engine, PROMPT, SamplingParams(max_tokens=12, temperature=0.0)).ids.tolist()
    params = SamplingParams(max_tokens=12, temperature=0.0, stop_token_ids=(ids[5],))
    completion = say(engine, PROMPT, params)
    assert completion.ids.tolist() == ids[: ids.index(ids[5]) + 1]
    assert completion.stop_reason is StopReason.END


def test_stops_at_a_stop_string_and_keeps_the_token_that_completes_it(engine: VllmEngine, model: Any) -> None:
    """The most probable id that is a letter is made the stop string: a random model says few letters."""
    params = SamplingParams(max_tokens=60)
    long = say(engine, PROMPT, params)
    letters = [byte_tokenizer().decode([token]) for token in long.ids.tolist()]
    at, string = next((at, text) for at, text in enumerate(letters) if at and text.isascii() and text.isprintable())
    first = letters.index(string)
    completion = say(engine, PROMPT, SamplingParams(max_tokens=60, stop=("never said", string)))
    assert completion.stop_reason is StopReason.STOP_STRING
    assert completion.ids.tolist() == long.ids[: first + 1].tolist()
    assert first <= at
    check_against_forward(model, [PROMPT], [completion], 1.0)


def test_stops_at_the_end_of_the_context(engine: VllmEngine) -> None:
    ids = np.arange(125, dtype=np.int32)
    completion = say(engine, ids, DRAWN)
    assert (len(completion.ids), completion.stop_reason) == (3, StopReason.CONTEXT_FULL)
    assert say(engine, ids[:-3], DRAWN).stop_reason is StopReason.MAX_TOKENS


def test_a_session_goes_on_after_a_cancelled_neighbour(engine: VllmEngine, model: Any) -> None:
    async def run() -> Completion:
        kept, other = engine.open(0), engine.open(1)
        turns = [asyncio.ensure_future(engine.generate(session, PROMPT, DRAWN)) for session in (kept, other)]
        for _ in range(3):
            await asyncio.sleep(0)
        turns[1].cancel()
        await asyncio.gather(*turns, return_exceptions=True)
        with pytest.raises(EngineError, match="release it"):
            await engine.generate(other, PROMPT, DRAWN)
        return turns[0].result()

    check_against_forward(model, [PROMPT], [asyncio.run(run())], 1.0)


def test_what_vllm_refuses(engine: VllmEngine, tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="temperature must be in"):
        say(engine, PROMPT, SamplingParams(temperature=3.0))
    with pytest.raises(ConfigError, match="no_such_setting"):
        VllmEngine.start(str(tmp_path), None, no_such_setting=1)
    with pytest.raises(EngineError, match="vLLM cannot serve"):
        VllmEngine.start(str(tmp_path / "nowhere"), None)


# -- weights -----------------------------------------------------------------------------------------------------------


def test_new_weights_are_used_at_once_in_old_sessions_too(engine: VllmEngine) -> None:
    """The prefix is long enough to be cached: keys and values of the old weights must not be used."""
    observed = generator(0, "long").integers(0, VOCAB_SIZE, 2 * BLOCK + 3).astype(np.int32)
    session = engine.open(1)
    before = asyncio.run(engine.generate(session, observed, DRAWN))
    changed = tiny_model()
    with torch.no_grad():
        for parameter in changed.parameters():
            parameter.mul_(0.8)
    assert engine.load(changed) < 1e-5
    after = asyncio.run(engine.generate(session, PROMPT, DRAWN))
    assert (before.policy_version, after.policy_version) == (0, 1)
    seen = np.concatenate([observed, before.ids, PROMPT])
    check_against_forward(changed, [seen], [after], 1.0)


def test_a_sync_that_leaves_old_weights_is_noticed(
    engine: VllmEngine, model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = tiny_model()
    with torch.no_grad():
        changed.model.norm.weight.mul_(0.99)
    monkeypatch.setattr(engine._library, "reload", lambda weights: None)
    with pytest.raises(EngineError, match="differ from the model's by"):
        engine.load(changed)
    with pytest.raises(EngineError, match="samples nothing"):
        say(engine, PROMPT, DRAWN)
    monkeypatch.undo()
    engine.load(model)
    say(engine, PROMPT, DRAWN)


# -- other engines -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"top_logprobs": 20}], indirect=True)
def test_fewer_log_probs_give_lower_bounds_of_the_entropy(engine: VllmEngine, model: Any) -> None:
    completion = say(engine, PROMPT, DRAWN)
    ids = torch.from_numpy(whole([PROMPT], [completion])).long()
    with torch.no_grad():
        rows = torch.log_softmax(model(input_ids=ids[None]).logits[0, len(PROMPT) - 1 : -1].double(), dim=-1)
    exact = -(rows.exp() * rows).sum(1).numpy()
    np.testing.assert_allclose(completion.logprobs, rows.gather(1, ids[len(PROMPT) :, None])[:, 0], atol=1e-4)
    top = rows.sort(descending=True).values[:, :20].exp()
    rest = (1 - top.sum(1)).numpy()
    expected = -(top * top.log()).sum(1).numpy() - rest * np.log(rest)
    np.testing.assert_allclose(completion.entropies, expected, atol=1e-4)
    assert np.all(completion.entropies < exact)


@pytest.mark.parametrize("settings", [{"tied": True}], indirect=True)
def test_tied_embeddings(engine: VllmEngine) -> None:
    changed = tiny_model(tied=True)
    with torch.no_grad():
        changed.model.embed_tokens.weight.mul_(0.9)
    assert engine.load(changed) < 1e-5
    check_against_forward(changed, [PROMPT], [say(engine, PROMPT, DRAWN)], 1.0)
