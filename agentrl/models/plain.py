"""A model's own forward pass: what everything that computes it in another way is measured by."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray


@torch.no_grad()
def plain_logprobs(model: Any, ids_L: NDArray[np.integer], *, autocast: bool = False) -> NDArray[np.float64]:
    """Return ln p of each id after the first, shape (L - 1,), by the model's own forward pass over the whole sequence.

    Its own attention, no cache, no packing, no dropout. With ``autocast`` products are in bfloat16, as under training.
    """
    was_training = model.training
    model.eval()
    try:
        ids = torch.as_tensor(np.asarray(ids_L, np.int64)).to(next(model.parameters()).device)
        with torch.autocast(ids.device.type, torch.bfloat16, enabled=autocast):
            logits_LV = model(input_ids=ids[None], use_cache=False).logits[0, :-1]
        logprobs_L = torch.log_softmax(logits_LV.float(), dim=-1).gather(1, ids[1:, None])[:, 0]
        scores: NDArray[np.float64] = logprobs_L.double().cpu().numpy()
        return scores
    finally:
        model.train(was_training)
