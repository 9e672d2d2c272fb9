"""Random numbers that are a function of what they are for, and of nothing else."""

import hashlib

import numpy as np


def keyed_generator(*key: int | str) -> np.random.Generator:
    """The generator of one key: the same numbers on every machine, in every process and in any order of calls.

    Philox (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3") keyed with 128 bits of the key's SHA-256.

    Args:
        key: what the numbers are for, such as ``"view", seed, epoch, photo_id, view``; no part may hold a slash.
    """
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
