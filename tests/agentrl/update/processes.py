"""Data-parallel processes simulated by threads, which meet where the real ones would."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest
import torch

from agentrl.update import distributed

Result = TypeVar("Result")


def simulate(count: int, work: Callable[[int], Result]) -> list[Result]:
    """Return what ``work(rank)`` gives in each of ``count`` processes that do the same at the same time."""
    own, slots, meeting = threading.local(), [None] * count, threading.Barrier(count, timeout=60)

    def gather(item: Any) -> list[Any]:
        slots[own.rank] = item
        meeting.wait()
        items: list[Any] = list(slots)
        meeting.wait()
        return items

    def sum_gradients(parameters: list[torch.nn.Parameter]) -> None:
        parts = gather([torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in parameters])
        for parameter, *gradients in zip(parameters, *parts, strict=True):
            parameter.grad = torch.stack(gradients).sum(0)

    def run(rank: int) -> Result:
        own.rank = rank
        try:
            return work(rank)
        except BaseException:
            meeting.abort()
            raise

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(count) as pool:
        patch.setattr(distributed, "rank", lambda: own.rank)
        patch.setattr(distributed, "world_size", lambda: count)
        patch.setattr(distributed, "gather", gather)
        patch.setattr(distributed, "all_sum", lambda row: [sum(col) for col in zip(*gather(row), strict=True)])
        patch.setattr(distributed, "sum_gradients", sum_gradients)
        return list(pool.map(run, range(count)))
