"""What the vLLM engine does itself, with a model of the test's own in the library's place."""

import asyncio
import builtins
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from agentrl.engines.base import Completion, SamplingParams
from agentrl.engines.vllm import VllmEngine
from agentrl.engines.vllm_library import SampledTurn, import_vllm, runners_up, top_entropies
from agentrl.errors import ConfigError, EngineError
from agentrl.models.plain import plain_logprobs
from agentrl.seeding import generator
from agentrl.types import StopReason
from tests.agentrl.engines.tiny import VOCAB_SIZE, build

PROMPT = np.arange(40, 48, dtype=np.int32)
PARAMS = SamplingParams(max_tokens=4, stop_token_ids=(9,))


class ToyLibrary:
    """One random token a turn and step, decided by the prompt and the seed; remembers what it was asked."""

    vocab_size = VOCAB_SIZE

    def __init__(self) -> None:
        self.prompts: dict[str, list[int]] = {}
        self.seeds: list[int] = []
        self.aborted: list[str] = []
        self.running: dict[str, tuple[list[int], list[int], SamplingParams]] = {}
        self.weights: dict[str, torch.Tensor] = {}
        self.failure: Exception | None = None

    def add(self, request: str, ids: list[int], params: SamplingParams, seed: int) -> None:
        self.prompts[request] = ids
        self.seeds.append(seed)
        script = generator(seed, *ids).integers(10, self.vocab_size, 50).tolist()
        self.running[request] = ([], script, params)

    def step(self) -> list[SampledTurn]:
        if self.failure is not None:
            raise self.failure
        ended = []
        for request, (said, script, params) in list(self.running.items()):
            said.append(script[len(said)])
            if len(said) == params.max_tokens or said[-1] in params.stop_token_ids:
                del self.running[request]
                reason = StopReason.END if said[-1] in params.stop_token_ids else StopReason.MAX_TOKENS
                ids = np.asarray(said, np.int32)
                column = np.zeros(len(said), np.float32)
                ended.append(SampledTurn(request, ids, column, column, reason, len(self.prompts[request]), 0))
        return ended

    def abort(self, request: str) -> None:
        self.aborted.append(request)
        del self.running[request]

    def reload(self, weights: Iterable[tuple[str, Any]]) -> None:
        self.weights = {name: tensor.clone() for name, tensor in weights}

    def score(self, ids: list[int]) -> NDArray[np.float64]:
        model = build("qwen3")
        model.load_state_dict(self.weights)
        with torch.no_grad():
            logprobs = model(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        return logprobs.gather(1, torch.tensor(ids[1:])[:, None])[:, 0].double().numpy()


@pytest.fixture
def library() -> ToyLibrary:
    return ToyLibrary()


@pytest.fixture
def engine(library: ToyLibrary) -> VllmEngine:
    return VllmEngine(library, None, max_context=32)


def say(engine: VllmEngine, session: int, ids: NDArray[np.int32] = PROMPT) -> Completion:
    return asyncio.run(engine.generate(session, ids, PARAMS))


# -- sessions ----------------------------------------------------------------------------------------------------------


def test_the_prompt_is_everything_fed_and_sampled(engine: VllmEngine, library: ToyLibrary) -> None:
    session = engine.open(1)
    first = say(engine, session)
    second = say(engine, session, PROMPT[:3])
    assert library.prompts["2"] == [*PROMPT, *first.ids, *PROMPT[:3]]
    assert (first.stop_reason, len(second.ids)) == (StopReason.MAX_TOKENS, 4)
    assert engine.num_prompt_tokens == 8 + 15


@pytest.mark.parametrize("length", [None, 8, 3])
def test_a_fork_begins_with_its_parents_ids(engine: VllmEngine, library: ToyLibrary, length: int | None) -> None:
    parent = engine.open(1)
    first = say(engine, parent)
    fork = engine.fork(parent, 2, length=length)
    say(engine, fork, PROMPT[:1])
    say(engine, parent, PROMPT[:2])
    held = [*PROMPT, *first.ids]
    assert library.prompts["2"] == [*held[:length], 40]
    assert library.prompts["3"] == [*held, 40, 41]


def test_a_fork_with_its_parents_seed_samples_the_same(engine: VllmEngine) -> None:
    parent = engine.open(1)
    first = say(engine, parent)
    again = engine.fork(parent, 1, length=7)
    assert say(engine, again, PROMPT[7:]).ids.tolist() == first.ids.tolist()
    other = engine.fork(parent, 2, length=7)
    assert say(engine, other, PROMPT[7:]).ids.tolist() != first.ids.tolist()


def test_every_turn_has_a_seed_of_its_own(engine: VllmEngine, library: ToyLibrary) -> None:
    for seed in (1, 2):
        session = engine.open(seed)
        say(engine, session)
        say(engine, session)
    assert len(set(library.seeds)) == 4


def test_the_end_of_the_context(engine: VllmEngine) -> None:
    completion = say(engine, engine.open(1), np.arange(30, dtype=np.int32))
    assert (len(completion.ids), completion.stop_reason) == (2, StopReason.CONTEXT_FULL)
    completion = say(engine, engine.open(1), np.arange(28, dtype=np.int32))
    assert (len(completion.ids), completion.stop_reason) == (4, StopReason.MAX_TOKENS)


@pytest.mark.parametrize(
    ("ids", "params", "message"),
    [
        ([], PARAMS, "non-empty"),
        ([VOCAB_SIZE], PARAMS, f"vocabulary has {VOCAB_SIZE}"),
        ([-1], PARAMS, "-1"),
        ([1] * 32, PARAMS, "no room"),
        ([1], SamplingParams(stop_token_ids=(1000,)), "stop token 1000"),
        ([1], SamplingParams(stop=("",)), "empty stop string"),
        ([1], SamplingParams(top_p=0.9), "inside the nucleus"),
    ],
)
def test_bad_turns_are_refused_and_change_nothing(
    engine: VllmEngine, library: ToyLibrary, ids: list[int], params: SamplingParams, message: str
) -> None:
    session = engine.open(1)
    with pytest.raises(EngineError, match=message):
        asyncio.run(engine.generate(session, np.array(ids, np.int32), params))
    assert library.prompts == {}
    assert len(say(engine, session).ids) == 4


def test_unknown_sessions_and_lengths_are_refused(engine: VllmEngine) -> None:
    session = engine.open(1)
    say(engine, session)
    engine.release(session)
    for forget in (engine.release, lambda handle: engine.fork(handle, 0), lambda handle: say(engine, handle)):
        with pytest.raises(EngineError, match="never opened or has been released"):
            forget(session)
    session = engine.open(1)
    say(engine, session)
    with pytest.raises(EngineError, match="cannot fork after 13 ids"):
        engine.fork(session, 2, length=13)


# -- the background task -----------------------------------------------------------------------------------------------


def test_a_failing_library_fails_everyone_who_waits(engine: VllmEngine, library: ToyLibrary) -> None:
    async def run() -> list[Any]:
        sessions = [engine.open(seed) for seed in range(3)]
        library.failure = ZeroDivisionError("device")
        turns = (engine.generate(session, PROMPT, PARAMS) for session in sessions)
        results = await asyncio.gather(*turns, return_exceptions=True)
        with pytest.raises(EngineError, match="release it"):
            engine.fork(sessions[0], 1)
        return results

    for result in asyncio.run(run()):
        assert isinstance(result, EngineError) and isinstance(result.__cause__, ZeroDivisionError)
    library.failure = None
    assert library.running == {}
    assert len(say(engine, engine.open(0)).ids) == 4


def test_cancelled_turns_leave_the_others_alone(engine: VllmEngine, library: ToyLibrary) -> None:
    async def run() -> list[Any]:
        sessions = [engine.open(seed) for seed in range(3)]
        turns = [asyncio.ensure_future(engine.generate(session, PROMPT, PARAMS)) for session in sessions]
        await asyncio.sleep(0)
        with pytest.raises(EngineError, match="still sampling"):
            engine.fork(sessions[0], 1)
        with pytest.raises(EngineError, match="3 turns are under way"):
            engine.load(build("qwen3"))
        turns[1].cancel()
        engine.release(sessions[2])
        return list(await asyncio.gather(*turns, return_exceptions=True))

    kept, *others = asyncio.run(run())
    assert len(kept.ids) == 4
    assert [type(other) for other in others] == [asyncio.CancelledError] * 2
    assert sorted(library.aborted) == ["2", "3"]


def test_an_abandoned_event_loop_does_not_spoil_the_next(engine: VllmEngine, library: ToyLibrary) -> None:
    async def abandon() -> None:
        turn = asyncio.ensure_future(engine.generate(engine.open(0), PROMPT, PARAMS))
        await asyncio.sleep(0)
        assert not turn.done()

    asyncio.run(abandon())
    assert library.running == {}
    assert len(say(engine, engine.open(0)).ids) == 4


# -- weights -----------------------------------------------------------------------------------------------------------


def test_weights_are_verified_and_stamped(engine: VllmEngine, library: ToyLibrary) -> None:
    model = build("qwen3").train()
    assert engine.load(model) < 1e-6
    assert model.training
    assert say(engine, engine.open(0)).policy_version == 1
    engine.load(model, version=7)
    assert say(engine, engine.open(0)).policy_version == 7


def test_a_trainer_that_computes_something_else_is_noticed(engine: VllmEngine) -> None:
    model = build("qwen3")
    assert engine.load(model, trainer=lambda ids: plain_logprobs(model, ids) + 5e-5) == pytest.approx(5e-5, rel=0.1)
    with pytest.raises(EngineError, match="differ from the trainer's by"):
        engine.load(model, trainer=lambda ids: plain_logprobs(model, ids) + 0.2)
    with pytest.raises(EngineError, match="samples nothing"):
        say(engine, engine.open(0))


def test_weights_that_did_not_arrive_are_noticed(
    engine: VllmEngine, library: ToyLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = build("qwen3")
    engine.load(model)
    with torch.no_grad():
        model.model.norm.weight.mul_(0.9)
    monkeypatch.setattr(library, "reload", lambda weights: None)
    with pytest.raises(EngineError, match="differ from the model's by"):
        engine.load(model)
    with pytest.raises(EngineError, match="samples nothing"):
        say(engine, engine.open(0))
    monkeypatch.undo()
    engine.load(model)
    assert say(engine, engine.open(0)).policy_version == 2


def test_weights_that_are_refused(engine: VllmEngine) -> None:
    with pytest.raises(EngineError, match="cannot take the model's weights: RuntimeError"):
        engine.load(build("llama"))


def test_sessions_live_through_new_weights(engine: VllmEngine, library: ToyLibrary) -> None:
    session = engine.open(0)
    first = say(engine, session)
    engine.load(build("qwen3"))
    assert say(engine, session).policy_version == 1
    assert library.prompts["2"] == [*PROMPT, *first.ids, *PROMPT]


# -- the library's edge ------------------------------------------------------------------------------------------------


@given(st.lists(st.floats(-30, 30), min_size=2, max_size=40), st.integers(1, 40))
def test_entropies_are_lower_bounds(logits: list[float], count: int) -> None:
    logprobs = torch.tensor(logits, dtype=torch.float64).log_softmax(0).sort(descending=True).values.numpy()
    exact = -(np.exp(logprobs) * logprobs).sum()
    count = min(count, len(logprobs))
    (bound,) = top_entropies(logprobs[None, :count], len(logprobs))
    rest = np.exp(logprobs[count:]).sum()
    gap = rest * np.log(max(1, len(logprobs) - count))
    assert exact - gap - 1e-5 <= bound <= exact + 1e-5


def test_runners_up_are_the_best_of_the_others() -> None:
    top = np.array([[4, 7, 2], [7, 4, 2], [5, 6, 7], [2, 4, 6]])
    logprobs = np.log([[0.5, 0.3, 0.1], [0.5, 0.3, 0.1], [0.4, 0.4, 0.1], [0.6, 0.2, 0.1]])
    got = runners_up(np.array([4, 4, 5, 9], np.int32), top, logprobs)  # 9 is not among the most probable
    assert got.ids.tolist() == [7, 7, 6, 2] and got.ids.dtype == np.int32
    np.testing.assert_allclose(np.exp(got.logprobs), [0.3, 0.5, 0.4, 0.6], rtol=1e-6)


def test_a_missing_vllm_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "vllm":
            raise ModuleNotFoundError("No module named 'vllm'")
        return real(name, *args, **kwargs)

    monkeypatch.delitem(sys.modules, "vllm", raising=False)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ConfigError, match=r"agentrl\[vllm\]"):
        import_vllm()
    with pytest.raises(ConfigError, match="No module named 'vllm'"):
        VllmEngine.start("nowhere", None)
