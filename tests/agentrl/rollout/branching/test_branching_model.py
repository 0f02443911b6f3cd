"""Branching with a real (tiny, random) model in the household: forked sessions compute what one pass computes."""

import functools

import numpy as np
import pytest

from agentrl import make
from agentrl.context import make_context
from agentrl.engines.base import SamplingParams
from agentrl.engines.transformers import TransformersEngine
from agentrl.policy import build_model, train_tokenizer
from agentrl.rollout import group_specs
from agentrl.rollout.branching import Arpo, BranchingRollout, Sampler, TreeGrpo, TreePo
from tests.agentrl.rollout.test_model import one_pass

SAMPLERS = [Arpo(initial=2, beta=0.0, rule="chance", scale="mean"), TreeGrpo(), TreePo(root=(2, 2))]


@pytest.mark.parametrize("kind", ["append", "window"])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda sampler: sampler.name)
def test_branches_in_the_household(sampler: Sampler, kind: str) -> None:
    factory = functools.partial(make, "agentrl/Household-v0", max_turns=4)
    env = factory()
    tasks = env.tasks.ids("train")[:2]
    texts = [env.reset(seed=0, options={"task": task})[0] for task in tasks]
    tokenizer = train_tokenizer(texts, vocab_size=400)
    model = build_model(tokenizer, hidden_size=16, num_layers=2, num_heads=2, max_context=2048, seed=0).eval()
    engine = TransformersEngine(model, tokenizer, max_sessions=10, max_context=2048)
    params = SamplingParams(max_tokens=5, temperature=0.7)
    context = make_context(tokenizer, kind, window=1)
    with BranchingRollout(factory, engine, context, params, sampler=sampler, concurrency=10) as rollout:
        result = rollout.collect(group_specs(tasks, 5, seed=0, iteration=0))
    assert len(result.trajectories) == 10 and not result.accidents
    branches = [one for one in result.trajectories if one.parent]
    assert branches
    assert result.env_steps == sum(one.env_steps for one in result.trajectories) < 40
    for one in branches:
        for sequence in one.sequences:
            logprobs, entropies = one_pass(model, sequence, params.temperature)
            mask = sequence.action_mask_L
            np.testing.assert_allclose(sequence.behavior_logprobs_L[mask], logprobs[mask[1:]], atol=1e-4)
            np.testing.assert_allclose(sequence.entropies_L[mask], entropies[mask[1:]], atol=1e-4)
