"""What queries see of a packed row, cut into pieces that a dense kernel computes each: own runs, and parts above them.

Axis suffixes: ``_U`` tokens of the row, ``_P`` the ones whose attention is wanted, ``_S`` runs of a group, ``_K``
tokens of the longest of them, ``_W`` the most queries in one of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from agentrl.update.passes.tree import Part


class Own(NamedTuple):
    """What queries see of their own run, for runs of similar length.

    Attributes:
      keys_SK: index of each token in the row, 0 where a run is shorter.
      queries_SW: index of each query among the wanted ones, 0 where there are fewer.
      is_padding_SW: where there are fewer.
      mask_S1WK: 0 where the query sees the key, -inf elsewhere; None if every token is a query.
    """

    keys_SK: Tensor
    queries_SW: Tensor
    is_padding_SW: Tensor
    mask_S1WK: Tensor | None


@dataclass(frozen=True, slots=True)
class Pieces:
    """Everything that queries see.

    Attributes:
      own: of their own runs; all tokens of the row are in one of the groups.
      key_order_U: for each token, its index in the concatenation of the flattened keys.
      query_order_P: likewise of each query.
      parts: of other runs; keys are numbered in the row, queries among the wanted ones.
    """

    own: tuple[Own, ...]
    key_order_U: Tensor
    query_order_P: Tensor
    parts: tuple[Part, ...]

    @classmethod
    def of_all(cls, groups: Sequence[Tensor], order_U: Tensor, parts: Sequence[Part]) -> "Pieces":
        """Return the pieces of a row whose every token is a query; see `agentrl.update.passes.packed.Packing`."""
        own = tuple(Own(index_SK, index_SK, _is_padding(index_SK), None) for index_SK in groups)
        return cls(own, order_U, order_U, tuple(parts))

    @classmethod
    def of_few(
        cls,
        groups: Sequence[Tensor],
        order_U: Tensor,
        parts: Sequence[Part],
        rows_P: Tensor,
        dtype: torch.dtype = torch.float32,
    ) -> "Pieces":
        """Return the pieces for some tokens: ``rows_P`` are their indices in the row, ascending, without repetition.

        Masks are of ``dtype``, which the kernel wants to be that of the queries.
        """
        own, offset = [], 0
        query_order_P = torch.empty_like(rows_P)
        for index_SK in groups:
            lengths_S = (~_is_padding(index_SK)).sum(1)
            start_S = index_SK[:, 0].contiguous()
            first_S, last_S = (torch.searchsorted(rows_P, at_S) for at_S in (start_S, start_S + lengths_S))
            number_W = torch.arange(max(1, int((last_S - first_S).max())))
            queries_SW = first_S[:, None] + number_W
            is_padding_SW = queries_SW >= last_S[:, None]
            flat = torch.arange(queries_SW.numel()).view_as(queries_SW)
            query_order_P[queries_SW[~is_padding_SW]] = offset + flat[~is_padding_SW]
            offset += queries_SW.numel()
            queries_SW = queries_SW.masked_fill(is_padding_SW, 0)
            place_SW = (rows_P[queries_SW] - index_SK[:, :1]).masked_fill(is_padding_SW, 0)  # any key, to have a number
            is_hidden_SWK = torch.arange(index_SK.shape[1]) > place_SW[:, :, None]
            mask_SWK = torch.zeros(is_hidden_SWK.shape, dtype=dtype).masked_fill_(is_hidden_SWK, -torch.inf)
            own.append(Own(index_SK, queries_SW, is_padding_SW, mask_SWK[:, None]))
        starts, ends = ([part[at] for part in parts] for at in (2, 3))
        bounds = torch.searchsorted(rows_P, torch.tensor([starts, ends], dtype=torch.int64)).T.tolist()
        few = [part[:2] + tuple(found) for part, found in zip(parts, bounds, strict=True) if found[0] < found[1]]
        return cls(tuple(own), order_U, query_order_P, tuple(Part(*part) for part in few))


def _is_padding(index_SK: Tensor) -> Tensor:
    is_padding_SK = index_SK == 0
    is_padding_SK[:, 0] = False  # 0 stands for none, but a run can begin there
    return is_padding_SK
