"""The only place that makes random generators: every stream is named by a seed and a path.

Two different paths give independent streams, whatever the process, thread or order in which they are asked for.
"""

import hashlib

import numpy as np


def derive(seed: int, *path: int | str) -> int:
    """Return a 63-bit seed for the stream ``path`` below ``seed`` (BLAKE2b of both, so order-free and stable).

    >>> derive(0, "rollout", 1) == derive(0, "rollout", 1) != derive(0, "rollout", 2)
    True
    """
    text = "\x1f".join([str(int(seed)), *(f"{type(part).__name__}:{part}" for part in path)])
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def generator(seed: int, *path: int | str) -> np.random.Generator:
    """Return a NumPy generator (PCG64) for the stream ``path`` below ``seed``."""
    return np.random.Generator(np.random.PCG64(derive(seed, *path)))
