"""CPU seconds of the sides of a comparison, taken in turns so that both see the same machine."""

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

Result = TypeVar("Result")

KEEPS_BLOCKS = {"MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**34)}
"""Environment of a process in which glibc does not map large blocks anew at each use, which costs page faults."""


def timed(work: Callable[[], Result]) -> tuple[float, Result]:
    """Return CPU seconds of this process, and the result."""
    start = time.process_time()
    result = work()
    return time.process_time() - start, result


def in_turns(sides: Mapping[str, Callable[[], Result]], repeats: int) -> tuple[dict[str, float], dict[str, Result]]:
    """Run all sides ``repeats`` times, interleaved; return the least seconds and the last result of each."""
    least: dict[str, float] = {}
    results: dict[str, Result] = {}
    for _ in range(repeats):
        for side, work in sides.items():
            took, results[side] = timed(work)
            least[side] = min(took, least.get(side, took))
    return least, results
