"""Conversations as an engine had them, against one plain forward pass of the model."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from agentrl.engines.base import Completion


def whole(observations: Sequence[NDArray[np.int32]], completions: Sequence[Completion]) -> NDArray[np.int32]:
    return np.concatenate(
        [part for pair in zip(observations, (c.ids for c in completions), strict=True) for part in pair]
    )


def check_against_forward(
    model: Any, observations: Sequence[NDArray[np.int32]], completions: Sequence[Completion], temperature: float
) -> None:
    """Compare with one uncached forward pass over the whole conversation, in float64; alternatives where there are."""
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
        if completion.alternatives is not None:
            others = rows.scatter(1, torch.from_numpy(completion.ids).long()[:, None], -torch.inf).max(1)
            assert completion.alternatives.ids.tolist() == others.indices.tolist()
            np.testing.assert_allclose(completion.alternatives.logprobs, others.values, atol=1e-4)
        position += len(completion.ids)
