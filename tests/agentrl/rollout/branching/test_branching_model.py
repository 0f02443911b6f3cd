"""Branching with a real (tiny, random) model in the household: forked sessions compute what one pass computes."""

import functools
from typing import Any

import numpy as np
import pytest
import torch

from agentrl import make
from agentrl.context import make_context
from agentrl.engines.base import SamplingParams
from agentrl.engines.transformers import TransformersEngine
from agentrl.policy import build_model, train_tokenizer
from agentrl.rollout import Rollout, group_specs
from agentrl.rollout.branching import Arpo, Latr, Sampler, TreeGrpo, TreePo
from agentrl.types import Trajectory
from tests.agentrl.rollout.test_model import one_pass

SAMPLERS = [Arpo(initial=2, beta=0.0, rule="chance", scale="mean"), TreeGrpo(), TreePo(root=(2, 2))]
# Whatever has more than three tokens left is pruned; the others stay.
LATR = Latr(tau_abs=0.0, tau_rel=1.0, lookahead=(3,), rouge_l=None, suffix_match=None, edit_distance=1.1)


@pytest.mark.parametrize("kind", ["append", "window"])
@pytest.mark.parametrize("sampler", [*SAMPLERS, LATR], ids=lambda sampler: sampler.name)
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
    with Rollout(factory, engine, context, params, sampler=sampler, concurrency=10) as rollout:
        result = rollout.collect(group_specs(tasks, 5, seed=0, iteration=0))
    assert len(result.trajectories) == 10 and not result.accidents
    branches = [one for one in result.trajectories if one.parent]
    assert branches
    # Forks inside first turns save no steps.
    most = 40 if isinstance(sampler, Latr) else 39
    assert result.env_steps == sum(one.env_steps for one in result.trajectories) <= most
    for one in branches:
        for sequence in one.sequences:
            logprobs, entropies = one_pass(model, sequence, params.temperature)
            mask = sequence.action_mask_L
            np.testing.assert_allclose(sequence.behavior_logprobs_L[mask], logprobs[mask[1:]], atol=1e-4)
            np.testing.assert_allclose(sequence.entropies_L[mask], entropies[mask[1:]], atol=1e-4)
    if isinstance(sampler, Latr):
        assert all(one.extra["branching"]["group"]["pruned"] for one in result.trajectories)
        check_forced_tokens(model, result.trajectories)


def check_forced_tokens(model: Any, trajectories: list[Trajectory]) -> None:
    """A fork inside a turn has its parent's tokens, then the most probable token that is not the parent's."""
    by_id = {one.id: one for one in trajectories}
    places = set()
    for one in trajectories:
        token = one.extra["branching"]["token"]
        assert (one.parent is None) == (token is None)
        if one.parent is None:
            continue
        turn, parent = one.parent.turn, by_id[one.parent.parent]
        (mine,) = (each for each in one.sequences if (each.turns_L == turn).any())
        (others,) = (each for each in parent.sequences if (each.turns_L == turn).any())
        place = int(np.flatnonzero((mine.turns_L == turn) & mine.action_mask_L)[token])
        assert (mine.ids_L[:place] == others.ids_L[:place]).all()
        assert mine.common_prefix(others) == place
        with torch.no_grad():
            logits_V = model(torch.from_numpy(mine.ids_L[None, :place].astype(np.int64))).logits[0, -1].double()
        logits_V[int(others.ids_L[place])] = -torch.inf
        assert int(logits_V.argmax()) == mine.ids_L[place]
        places.add((turn, token))
    assert len({turn for turn, _ in places}) > 1 or len(places) > 2
