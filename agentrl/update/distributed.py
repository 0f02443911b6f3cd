"""Data-parallel processes: the few collectives that training needs, each a no-op with one process."""

import os
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor


def rank() -> int:
    """Return this process's number, 0 for the one that writes files."""
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def device() -> torch.device:
    """Return where this process computes: the GPU of its number on its machine, or the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", rank())))


def all_sum(values: list[float]) -> list[float]:
    """Return the element-wise sum over processes, in float64."""
    if world_size() == 1:
        return values
    tensor = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(tensor)
    return [float(value) for value in tensor]


def gather(item: Any) -> list[Any]:
    """Return every process's ``item`` (picklable), in order of rank."""
    if world_size() == 1:
        return [item]
    items: list[Any] = [None] * world_size()
    dist.all_gather_object(items, item)
    return items


def sum_gradients(parameters: list[torch.nn.Parameter]) -> None:
    """Add up gradients over processes in place, as one flat message; a missing gradient counts as zero."""
    if world_size() == 1:
        return
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients: list[Tensor] = [p.grad for p in parameters if p.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    offset = 0
    for gradient in gradients:
        gradient.copy_(flat[offset : offset + gradient.numel()].view_as(gradient))
        offset += gradient.numel()


def moments(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return mean and variance over all processes, 0 and 0 where none has a value."""
    count, total = all_sum([float(len(values)), float(values.sum())])
    mean = total / max(count, 1.0)
    (squares,) = all_sum([float(np.square(values - mean).sum())])
    return mean, squares / max(count, 1.0)
