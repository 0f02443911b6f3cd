"""Samples of an update made of given tokens, and what the model itself computes of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from agentrl.algorithms.base import LossSettings
from agentrl.losses import token_logprobs
from agentrl.seeding import generator
from agentrl.types import TokenSequence
from agentrl.update.batch import Sample

VOCAB_SIZE = 2048
LOSS = LossSettings()
Ids = NDArray[np.int32]


def samples_of(sequences: Sequence[Ids], scored: Sequence[NDArray[np.bool_]]) -> list[Sample]:
    """Return samples with an advantage of each sequence's own."""
    rng = generator(0, "advantages")
    samples = []
    for number, (ids_L, scored_L) in enumerate(zip(sequences, scored, strict=True)):
        old_L = np.where(scored_L, -np.log(VOCAB_SIZE), 0).astype(np.float32)
        turns_L = np.where(scored_L, 0, -1).astype(np.int32)
        sequence = TokenSequence(ids_L, scored_L, old_L, np.zeros(len(ids_L), np.float32), turns_L)
        advantages_L = np.where(scored_L, rng.standard_normal(), np.nan)
        samples.append(Sample(sequence, advantages_L, np.where(scored_L, number, -1).astype(np.int64), old_L))
    return samples


def padded_score(model: Any, samples: Sequence[Sample]) -> Tensor:
    """Return log-probs of the scored tokens from a right-padded batch, in the order of `pack`."""
    lengths = torch.tensor([len(sample) for sample in samples])
    ids_SL = torch.zeros(len(samples), int(lengths.max()), dtype=torch.int64)
    scored_SL = torch.zeros_like(ids_SL, dtype=torch.bool)
    for row, sample in enumerate(samples):
        ids_SL[row, : len(sample)] = torch.from_numpy(sample.sequence.ids_L)
        scored_SL[row, : len(sample)] = torch.from_numpy(np.isfinite(sample.advantages_L))
    mask_SL = (torch.arange(ids_SL.shape[1]) < lengths[:, None]).long()
    hidden_SLH = model.base_model(input_ids=ids_SL, attention_mask=mask_SL, use_cache=False).last_hidden_state
    hidden_AH = hidden_SLH[:, :-1][scored_SL[:, 1:]]
    weight_VH = model.get_output_embeddings().weight
    return token_logprobs(hidden_AH, weight_VH, ids_SL[:, 1:][scored_SL[:, 1:]], chunk=1024)[0]


def relative_error(ones: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """Return the largest error of a parameter's gradient, relative to that gradient's norm."""
    return max(float((one - other).norm() / other.norm()) for one, other in zip(ones, others, strict=True))
