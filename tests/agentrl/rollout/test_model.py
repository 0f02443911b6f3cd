"""A rollout with a real (tiny, random) model: the recorded numbers are those of the recorded ids."""

import numpy as np
import pytest
import torch

from agentrl.context import make_context
from agentrl.engines.base import SamplingParams
from agentrl.engines.transformers import TransformersEngine
from agentrl.policy import build_model, train_tokenizer
from agentrl.rollout import Rollout, group_specs
from agentrl.types import TokenSequence
from tests.agentrl.rollout.toys import Corridor


@pytest.mark.parametrize("kind", ["append", "window"])
def test_log_probs_and_entropies_are_those_of_one_pass_over_the_sequence(kind: str) -> None:
    tokenizer = train_tokenizer(["You are at 5. Ring the bell at 7.", "Nothing happens."], vocab_size=280)
    model = build_model(tokenizer, hidden_size=16, num_layers=2, num_heads=2, max_context=512, seed=0).eval()
    engine = TransformersEngine(model, tokenizer, max_sessions=8, max_context=512)
    params = SamplingParams(max_tokens=6, temperature=0.7)
    context = make_context(tokenizer, kind, show_admissible=True)
    with Rollout(lambda: Corridor(max_turns=4), engine, context, params, concurrency=8) as rollout:
        result = rollout.collect(group_specs(["corridor-2", "corridor-3"], 3, seed=0, iteration=0))
    assert len(result.trajectories) == 6
    sequences = [sequence for trajectory in result.trajectories for sequence in trajectory.sequences]
    assert len(sequences) == (6 if kind == "append" else 24)
    for sequence in sequences:
        logprobs, entropies = one_pass(model, sequence, params.temperature)
        mask = sequence.action_mask_L
        np.testing.assert_allclose(sequence.behavior_logprobs_L[mask], logprobs[mask[1:]], atol=1e-4)
        np.testing.assert_allclose(sequence.entropies_L[mask], entropies[mask[1:]], atol=1e-4)


def one_pass(model: torch.nn.Module, sequence: TokenSequence, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    ids = torch.from_numpy(sequence.ids_L.astype(np.int64))
    with torch.inference_mode():
        logprobs = torch.log_softmax(model(ids[None]).logits[0, :-1].float() / temperature, -1)
    return logprobs.gather(1, ids[1:, None])[:, 0].numpy(), -(logprobs.exp() * logprobs).sum(-1).numpy()
