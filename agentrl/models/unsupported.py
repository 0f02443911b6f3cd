"""Models that can be told by their configuration not to be computed exactly, and why."""

from collections.abc import Iterator, Mapping
from typing import Any

from agentrl.errors import ModelError

_ATTENTION = {"full_attention", "sliding_attention"}


def refuse_unsupported(config: Any, max_context: int) -> None:
    """Check that sequences of ``max_context`` tokens can be packed, and served from slots, as the model computes them.

    What a configuration does not tell is found by comparing with the model's own forward pass, at the start of a run.

    Raises:
      ModelError: layers that do not attend (recurrent ones), a rotation that depends on the length of the sequence, or
        too few positions.
    """
    text = config.get_text_config()
    name = type(config).__name__
    others = sorted(set(getattr(text, "layer_types", None) or []) - _ATTENTION)
    if others:
        raise ModelError(
            f"{name} has layers of kind {', '.join(others)}: only full and sliding attention are reproduced here (a "
            "recurrent state would leak between the sequences of one pass); choose a model in which all layers attend"
        )
    positions = getattr(text, "max_position_embeddings", None)
    if positions is not None and positions < max_context:
        raise ModelError(f"{name} has {positions} positions, fewer than max_context {max_context}: lower it")
    for kind, least in _varying_rotations(text):
        if least is not None and least < max_context:
            raise ModelError(
                f"{name} rotates positions by {kind!r} scaling, by angles that change when a sequence grows beyond "
                f"{least} tokens: cached keys would have others; lower max_context from {max_context} to that"
            )


def _varying_rotations(config: Any) -> Iterator[tuple[str, int | None]]:
    """Yield kind and least length of each scaling of rotary positions that depends on the length of the sequence."""
    parameters = getattr(config, "rope_parameters", None) or {}
    for rotation in (parameters, *parameters.values()):  # of the model, or of each kind of layer
        kind = rotation.get("rope_type") if isinstance(rotation, Mapping) else None
        if kind in ("dynamic", "longrope"):
            own = getattr(config, "original_max_position_embeddings", None) or config.max_position_embeddings
            yield str(kind), rotation.get("original_max_position_embeddings") or own
