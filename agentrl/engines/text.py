"""Text as ids without a tokenizer: its bytes, and one id that ends a message."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

END_ID = 256
"""Ends a message: no byte."""


def ids_of(text: str, *, ended: bool = False) -> NDArray[np.int32]:
    """Return the bytes of a text, shape (L,), with the end of a message if ``ended``."""
    ids: Sequence[int] = [*text.encode("utf-8", "replace"), *([END_ID] if ended else [])]
    return np.asarray(ids, np.int32)


def text_of(ids: NDArray[np.int32]) -> str:
    """Return the text of ids, without ends of messages."""
    return bytes(ids[ids < END_ID].astype(np.uint8)).decode("utf-8", "replace")
