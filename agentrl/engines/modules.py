"""Any causal language model with full attention, run by its own unmodified modules over a slot cache."""

import inspect
from collections.abc import Sequence
from typing import Any

from torch import Tensor

from agentrl.engines.slots import ATTENTION, SlotCache, Window
from agentrl.errors import EngineError


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

        See :meth:`agentrl.engines.lean.LeanModel.__call__`; the scores cost little, so they are computed either way.
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


def refuse_unsupported(config: Any, max_context: int) -> None:
    """Check that slots of ``max_context`` positions can serve a model.

    Raises:
      EngineError: layers without full attention (linear, or a window shorter than the context), or too few positions.
    """
    kinds = set(getattr(config, "layer_types", None) or [])
    window = getattr(config, "sliding_window", None)
    slides = "sliding_attention" in kinds or (not kinds and window is not None)
    if kinds - {"full_attention", "sliding_attention"} or (slides and (window is None or window < max_context)):
        raise EngineError(
            f"{type(config).__name__} has layers {sorted(kinds)} with a sliding window of {window}: slots serve "
            f"full attention, or a window of at least max_context ({max_context})"
        )
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and positions < max_context:
        raise EngineError(f"the model has {positions} positions, fewer than max_context {max_context}: lower it")
