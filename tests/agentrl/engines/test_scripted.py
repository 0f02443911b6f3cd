"""The scripted engine keeps the protocol."""

import asyncio
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from agentrl.engines.base import Completion, Engine, SamplingParams
from agentrl.engines.scripted import Line, ScriptedEngine
from agentrl.errors import EngineError
from agentrl.types import StopReason

OBSERVED = np.array([1, 2, 3], np.int32)


def say(engine: Engine, session: int, params: SamplingParams = SamplingParams()) -> Completion:  # noqa: B008  frozen
    return asyncio.run(engine.generate(session, OBSERVED, params))


def test_text_is_encoded_and_the_script_sees_the_whole_session(tokenizer: Any) -> None:
    seen: list[list[int]] = []

    def script(ids: NDArray[np.int32], rng: np.random.Generator) -> str:
        seen.append(ids.tolist())
        return "go"

    engine = ScriptedEngine(script, tokenizer)
    session = engine.open(0)
    first = say(engine, session)
    say(engine, session)
    assert first.ids.tolist() == tokenizer.encode("go")
    assert first.stop_reason is StopReason.END
    assert seen == [[1, 2, 3], [1, 2, 3, *first.ids, 1, 2, 3]]


def test_given_statistics_are_cut_with_the_ids() -> None:
    engine = ScriptedEngine(lambda ids, rng: Line([5, 6, 7], [-1.0, -2.0, -3.0], [0.1, 0.2, 0.3]))
    got = say(engine, engine.open(0), SamplingParams(stop_token_ids=(6,)))
    assert (got.ids.tolist(), got.logprobs.tolist(), got.stop_reason) == ([5, 6], [-1.0, -2.0], StopReason.END)
    got = say(engine, engine.open(0), SamplingParams(max_tokens=1))
    assert (got.ids.tolist(), got.stop_reason) == ([5], StopReason.MAX_TOKENS)
    engine = ScriptedEngine(lambda ids, rng: Line([5, 6, 7]), max_context=4)
    got = say(engine, engine.open(0))
    assert (got.ids.tolist(), got.entropies.tolist(), got.stop_reason) == ([5], [0.0], StopReason.CONTEXT_FULL)


def test_given_alternatives_are_cut_with_the_ids_and_told_to_those_who_ask() -> None:
    pairs = [(7, -0.5), (8, -1.5), (9, -2.5)]
    engine = ScriptedEngine(lambda ids, rng: Line([1, 2, 3], alternatives=pairs))
    for asks in (True, False):
        params = SamplingParams(max_tokens=2, alternatives=asks)
        said = asyncio.run(engine.generate(engine.open(0), np.array([5], np.int32), params)).alternatives
        assert (said is not None) == asks
        if said is not None:
            assert said.ids.tolist() == [7, 8] and said.logprobs.tolist() == [-0.5, -1.5]


def test_stop_strings_cut(tokenizer: Any) -> None:
    engine = ScriptedEngine(lambda ids, rng: "<a>x</a> and more", tokenizer)
    got = say(engine, engine.open(0), SamplingParams(stop=("</a>",)))
    assert (tokenizer.decode(got.ids), got.stop_reason) == ("<a>x</a>", StopReason.STOP_STRING)


def test_seeds_and_forks() -> None:
    engine = ScriptedEngine(lambda ids, rng: Line([len(ids), int(rng.integers(1000))]))
    first, second = engine.open(4), engine.open(4)
    assert say(engine, first).ids.tolist() == say(engine, second).ids.tolist()
    fork = engine.fork(first, 9)
    engine.release(first)
    assert say(engine, fork).ids[0] == 8
    assert engine.num_open == 2


def test_fork_at_a_token() -> None:
    engine = ScriptedEngine(lambda ids, rng: Line([len(ids), int(rng.integers(1000))]))
    parent = engine.open(4)
    first, second = say(engine, parent), say(engine, parent)
    assert first.ids.tolist() != second.ids.tolist()
    fork = engine.fork(parent, 4, length=5)
    assert say(engine, fork).ids.tolist() == second.ids.tolist()
    for length in (0, 11):
        with pytest.raises(EngineError, match="length is from 1 to 10"):
            engine.fork(parent, 4, length=length)


def test_misuse_is_refused() -> None:
    engine = ScriptedEngine(lambda ids, rng: Line([]), max_context=4)
    for forget in (engine.release, lambda handle: engine.fork(handle, 0), lambda handle: say(engine, handle)):
        with pytest.raises(EngineError, match="no session 3"):
            forget(3)
    with pytest.raises(EngineError, match="said nothing"):
        say(engine, engine.open(0))
    session = engine.open(0)
    with pytest.raises(EngineError, match="non-empty vector"):
        asyncio.run(engine.generate(session, OBSERVED[:0], SamplingParams()))
    with pytest.raises(EngineError, match="no room"):
        asyncio.run(engine.generate(session, np.arange(4, dtype=np.int32), SamplingParams()))
