"""The last hidden states of the tokens that are asked about, by the fastest pass that computes what the model does."""

from typing import Any

from torch import Tensor

from agentrl.update.passes import lean
from agentrl.update.passes.packed import Packing, packed_hidden_states
from agentrl.update.settings import Precision


def hidden_states(
    model: Any, ids_L: Tensor, packing: Packing, wanted_Q: Tensor, dtype: Precision = "float32"
) -> Tensor:
    """Return the last hidden states of some tokens of a packed row, shape (Q, hidden).

    Args:
      model: a causal language model, or its trunk.
      ids_L: the row.
      packing: where sequences lie in it.
      wanted_Q: indices of the tokens, in any order, repeated or not.
      dtype: as of `packed_hidden_states`.
    """
    if dtype == "float32" and lean.fits(model):
        return lean.lean_hidden_states(model, ids_L, packing, wanted_Q)
    return packed_hidden_states(model, ids_L, packing, dtype).index_select(0, wanted_Q)
