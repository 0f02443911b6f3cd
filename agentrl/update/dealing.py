"""Which minibatch a sample comes in, and which process computes it: the first does not depend on the processes.

Every process gets all samples (ids and columns, no more than the rollouts already hold) and deals them alike, then
computes its share of each minibatch, wherever the episodes were played. So an update is the same on any number of
processes, and all of them have about the same to do.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

import numpy as np

from agentrl.update import distributed
from agentrl.update.batch import Sample
from agentrl.update.passes.tree import num_unique


def exchange(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples of all processes, ordered by group and episode; every process must call it.

    The rows of turns are renumbered so that they differ between processes.
    """
    everyone: list[Sample] = []
    offset = 0
    for part in distributed.gather(list(samples)):
        if offset:
            part = [replace(s, rows_L=np.where(s.rows_L >= 0, s.rows_L + offset, s.rows_L)) for s in part]
        offset = 1 + max((int(sample.rows_L.max()) for sample in part), default=offset - 1)
        everyone += part
    return sorted(everyone, key=_episode)


def mini_batches(
    samples: Sequence[Sample], count: int, rng: np.random.Generator, *, keep_groups: bool = False
) -> list[list[Sample]]:
    """Deal shuffled samples, or whole groups of them, into ``count`` parts of almost equal size.

    Some are empty if there are fewer samples, or groups. With samples of `exchange` and the same state of ``rng``
    all processes have the same parts.
    """
    if keep_groups:
        groups: dict[str, list[Sample]] = {}
        for sample in samples:
            groups.setdefault(sample.group, []).append(sample)
        hands = list(groups.values())
    else:
        hands = [[sample] for sample in samples]
    order = rng.permutation(len(hands))
    return [[sample for i in order[part::count] for sample in hands[i]] for part in range(count)]


# Below it, minibatches of samples of many tasks are the better estimate for about the same time.
KEPT_SHARE = 0.1


def worth_keeping(samples: Sequence[Sample]) -> bool:
    """Return whether minibatches of whole groups save a tenth of the tokens: what members share counts once."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(sample.group, []).append(sample)
    merged = sum(num_unique([sample.sequence.ids_L for sample in group]) for group in groups.values())
    return bool(samples) and merged <= (1 - KEPT_SHARE) * sum(map(len, samples))


def own_share(samples: Sequence[Sample]) -> list[Sample]:
    """Return what this process computes of samples that all have: whole episodes, of groups side by side.

    The episodes are laid end to end and cut into parts of equal tokens; an episode belongs to the part of its middle.
    """
    if distributed.world_size() == 1:
        return list(samples)
    episodes = [list(own) for _, own in groupby(sorted(samples, key=_episode), key=_episode)]
    tokens = np.array([sum(map(len, own)) for own in episodes], dtype=np.float64)
    middles = tokens.cumsum() - tokens / 2
    owners = (middles / max(1.0, tokens.sum()) * distributed.world_size()).astype(int)
    return [
        sample for own, owner in zip(episodes, owners, strict=True) if owner == distributed.rank() for sample in own
    ]


def _episode(sample: Sample) -> tuple[str, str]:
    return sample.group, sample.trajectory
