"""What is fed is cut into windows: each id once, at its position, in passes of a bounded size."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from agentrl.engines.cache.feeding import Piece, feeding_passes
from agentrl.engines.cache.sessions import Session
from agentrl.engines.cache.slots import SlotCache

MAX_CONTEXT = 40


@given(
    fed=st.lists(st.tuples(st.integers(0, 10), st.integers(0, 30)), min_size=1, max_size=8),
    limit=st.integers(1, 64),
)
def test_each_id_is_fed_once_at_its_position(fed: list[tuple[int, int]], limit: int) -> None:
    cache = SlotCache(len(fed), MAX_CONTEXT, torch.float32, torch.device("cpu"))
    pieces = [
        Piece(Session(slot), begin, 100 * slot + np.arange(begin, begin + count))
        for slot, (begin, count) in enumerate(fed)
    ]
    found: dict[int, list[int]] = {slot: [] for slot in range(len(fed))}
    for windows in feeding_passes(cache, pieces, limit):
        real_tokens = [int((window.positions_BT < MAX_CONTEXT).sum()) for window in windows]
        assert sum(real_tokens) <= limit
        for window in windows:
            assert window.ids_BT.numel() <= limit
            real = window.positions_BT < MAX_CONTEXT
            if window.real_N is not None:
                assert real.flatten().nonzero()[:, 0].equal(window.real_N)
            for row, slot in enumerate(window.slots_B1[:, 0].tolist()):
                ids, positions = window.ids_BT[row][real[row]], window.positions_BT[row][real[row]]
                assert (ids - 100 * slot).equal(positions)
                assert window.context > int(positions.max()), "a token reads what came before it, and itself"
                found[slot] += positions.tolist()
    for slot, (begin, count) in enumerate(fed):
        assert found[slot] == list(range(begin, begin + count))


@pytest.mark.parametrize(("limit", "passes"), [(30, 3), (40, 2), (60, 1), (10, 6)])
def test_passes_are_as_full_as_the_limit_lets_them(limit: int, passes: int) -> None:
    cache = SlotCache(3, MAX_CONTEXT, torch.float32, torch.device("cpu"))
    pieces = [Piece(Session(slot), 0, np.arange(20)) for slot in range(3)]
    windows = feeding_passes(cache, pieces, limit)
    assert [sum(window.ids_BT.numel() for window in one) <= limit for one in windows] == [True] * len(windows)
    assert len(windows) == passes
