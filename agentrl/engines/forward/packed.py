"""The tokens of several windows in one row, padding left out.

Axes: ``_N`` all tokens, ``B`` and ``T`` rows and columns of one window, ``H`` heads, ``D`` width.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from agentrl.engines.cache.slots import Window


class Packed:
    """Where the tokens of ``windows`` lie, window after window and row after row.

    Attributes:
      windows: in their order.
      ids_N: the tokens.
      positions_N: of each in its session.
      slots_N: where its keys and values go.
      places_N: the same, within the slot.
    """

    def __init__(self, windows: Sequence[Window]) -> None:
        self.windows = windows
        self._spans: list[slice] = []
        parts, begin = [], 0
        for window in windows:
            slots_BT = window.slots_B1.expand_as(window.ids_BT)
            columns = [c.reshape(-1) for c in (window.ids_BT, window.positions_BT, slots_BT, window.places_BT)]
            parts.append(columns if window.real_N is None else [column[window.real_N] for column in columns])
            end = begin + len(parts[-1][0])
            self._spans.append(slice(begin, end))
            begin = end
        self.ids_N, self.positions_N, self.slots_N, self.places_N = (
            column[0] if len(column) == 1 else torch.cat(column) for column in zip(*parts, strict=True)
        )
        self._sources = [_sources(window) for window in windows]

    @property
    def last(self) -> slice:
        """The tokens of the last window."""
        return self._spans[-1]

    def rows(self, index: int, x_NHD: Tensor) -> Tensor:
        """Return what belongs to window ``index`` as the window has it, (B, H, T, D); padding holds anything."""
        own, source = x_NHD[self._spans[index]], self._sources[index]
        batch, columns = self.windows[index].ids_BT.shape
        own = own if source is None else own[source]
        return own.view(batch, columns, *own.shape[1:]).transpose(1, 2)

    def tokens(self, index: int, x_BHTD: Tensor) -> Tensor:
        """Return what belongs to the tokens of window ``index``, heads side by side, (N of the window, H · D)."""
        flat = x_BHTD.transpose(1, 2).flatten(2).flatten(0, 1)
        real_N = self.windows[index].real_N
        return flat if real_N is None else flat[real_N]


def _sources(window: Window) -> Tensor | None:
    """Return for each of the B · T columns which token to read there."""
    if window.real_N is None:
        return None
    sources = torch.zeros_like(window.ids_BT).view(-1)
    sources[window.real_N] = torch.arange(len(window.real_N), device=sources.device)
    return sources
