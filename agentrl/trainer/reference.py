"""The frozen policy that a run's divergence is measured from."""

import copy
from pathlib import Path
from typing import Any

import torch

from agentrl.errors import DataError
from agentrl.policy import load_policy, save_policy


def begin_reference(
    model: Any, tokenizer: Any, folder: Path, *, soup: tuple[str, float] | None = None, save: bool
) -> Any:
    """Return the policy that reinforcement learning starts from, frozen; on request saved to ``folder``.

    Args:
      model: the policy as it is.
      tokenizer: saved with it.
      folder: where :func:`resume_reference` finds it.
      soup: folder of another policy and its share: the reference is then the average of both's weights (SALSA).
      save: in one process of the run.

    Raises:
      DataError: the other policy has other weights than this one.
    """
    reference = copy.deepcopy(model)
    if soup is not None:
        other, _ = load_policy(soup[0])
        mix_weights(reference, other, soup[1])
    if save:
        save_policy(folder, reference, tokenizer)
    return reference.requires_grad_(False)


def resume_reference(folder: Path, *, device: torch.device) -> Any:
    """Return the reference policy of a run that goes on."""
    return load_policy(str(folder))[0].to(device).requires_grad_(False)


@torch.no_grad()
def mix_weights(model: Any, other: Any, share: float) -> None:
    """Set the weights of ``model`` to (1 - share) · its own + share · the other's.

    Raises:
      DataError: names or shapes of the weights differ.
    """
    own, others = dict(model.named_parameters()), dict(other.named_parameters())
    for name in sorted(own.keys() | others.keys()):
        if name not in own or name not in others or own[name].shape != others[name].shape:
            raise DataError(
                f"weight {name!r} is not the same in both policies: only policies of one architecture and "
                "vocabulary can be averaged"
            )
        own[name].lerp_(others[name].to(own[name]), share)
