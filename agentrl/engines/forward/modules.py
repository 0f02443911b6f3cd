"""Any causal language model whose layers attend, run by its own unmodified modules over a slot cache."""

import inspect
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from agentrl.engines.cache.slots import ATTENTION, SlotCache, Window


class ModuleModel:
    """A causal LM that reaches the slots through transformers' cache and attention interfaces.

    Args:
      model: a causal LM.
      cache: where keys and values go.
    """

    def __init__(self, model: Any, cache: SlotCache) -> None:
        self._model = model
        self._cache = cache
        self._cache_argument = cache_argument(model)

    def __call__(self, windows: Sequence[Window], *, samples: bool = True) -> Tensor | None:
        """Compute one window after the other; return the scores after each row's last column in the last, (B, V).

        As `LeanModel`'s; the scores cost little, so they are computed either way.
        """
        config = self._model.config
        before = config._attn_implementation
        config._attn_implementation = ATTENTION
        try:
            for window in windows:
                self._cache.window = window
                output = self._model(
                    input_ids=window.ids_BT,
                    position_ids=window.positions_BT.clamp(max=self._cache.max_context - 1),
                    attention_mask=window.mask_B1TS,
                    use_cache=True,
                    logits_to_keep=1,
                    **{self._cache_argument: self._cache},
                )
        finally:
            config._attn_implementation = before
        logits: Tensor = output.logits[:, -1]
        return logits if samples else None


def cache_argument(model: Any) -> str:
    """Return what a model's forward pass calls its cache: "cache", or before transformers 5.24 "past_key_values"."""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model  # peft's wrapper hides the names
    return "cache" if "cache" in inspect.signature(inner.forward).parameters else "past_key_values"
