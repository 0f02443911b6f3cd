"""The slot engine against transformers' own generate and against plain forward passes."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from agentrl.engines.base import Completion, SamplingParams
from agentrl.engines.transformers import TransformersEngine
from agentrl.errors import ConfigError, EngineError
from agentrl.seeding import generator
from agentrl.types import StopReason

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


def whole(observations: Sequence[NDArray[np.int32]], completions: Sequence[Completion]) -> NDArray[np.int32]:
    return np.concatenate(
        [part for pair in zip(observations, (c.ids for c in completions), strict=True) for part in pair]
    )


def check_against_forward(
    model: Any, observations: Sequence[NDArray[np.int32]], completions: Sequence[Completion], temperature: float
) -> None:
    """Compare log-probs and entropies with one uncached forward pass over the whole conversation, in float64."""
    ids = torch.from_numpy(whole(observations, completions)).long()
    with torch.no_grad():
        logits = model(input_ids=ids[None]).logits[0].double() / temperature
    logprobs = torch.log_softmax(logits, dim=-1)
    position = 0
    for observed, completion in zip(observations, completions, strict=True):
        position += len(observed)
        rows = logprobs[position - 1 : position - 1 + len(completion.ids)]
        expected = rows.gather(1, torch.from_numpy(completion.ids).long()[:, None])[:, 0]
        np.testing.assert_allclose(completion.logprobs, expected, atol=1e-4)
        np.testing.assert_allclose(completion.entropies, -(rows.exp() * rows).sum(1), atol=1e-4)
        position += len(completion.ids)


def test_greedy_turns_equal_generate(any_model: Any) -> None:
    conversations = prompts(5, turns=3)
    for observations, completions in zip(
        conversations, converse_all(make(any_model), conversations, GREEDY), strict=True
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


@pytest.mark.parametrize("temperature", [0.0, 0.7, 1.0])
def test_logprobs_and_entropies_equal_a_full_forward_pass(any_model: Any, temperature: float) -> None:
    conversations = prompts(6, turns=3)
    params = SamplingParams(max_tokens=5, temperature=temperature, top_p=0.9)
    for observations, completions in zip(
        conversations, converse_all(make(any_model), conversations, params), strict=True
    ):
        check_against_forward(any_model, observations, completions, temperature or 1.0)
