"""Random numbers that depend on nothing but the seed, the subject and the frame."""

from __future__ import annotations

import zlib

import numpy as np

__all__ = ["stream"]


def stream(seed: int, subject: str, *indices: int) -> np.random.Generator:
    """Give the generator of one subject.

    Every subject of every frame has its own, so that one effect turned off or one frame more leaves all
    others unchanged.

    Parameters
    ----------
    seed : int
        Seed of the night, not negative.
    subject : str
        What the numbers are for.
    *indices : int
        For instance the number of the frame.

    Returns
    -------
    numpy.random.Generator
    """
    return np.random.default_rng([seed, zlib.crc32(subject.encode()), *indices])
