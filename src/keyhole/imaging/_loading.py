"""Columns of values, of which those of the best quality take part in a combination."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from keyhole.imaging import bits
from keyhole.imaging._masked import zero_all_except
from keyhole.imaging._rejection import Columns

__all__ = ["load"]

_BADNESS_ORDER: Final = (bits.COSMIC_RAY, bits.OVERLAP, bits.BAD, bits.UNILLUMINATED, bits.NO_DATA)
_NO_DATA_CLASS: Final = len(_BADNESS_ORDER)


@lru_cache(maxsize=1)
def _badness_table() -> NDArray[np.uint8]:
    """Class of every mask value: 0 if usable, rising with badness; unknown bits count as bad pixels."""
    values = np.arange(1 << 16)
    unknown = bits.UNUSABLE & ~sum(_BADNESS_ORDER)
    table = np.zeros(values.shape, np.uint8)
    for badness, bit in enumerate(_BADNESS_ORDER, start=1):
        table[values & (bit | unknown if bit == bits.BAD else bit) != 0] = badness
    return table


def load(
    values: NDArray[np.float32], noise: NDArray[np.float32] | None, flags: NDArray[np.uint16] | None
) -> tuple[Columns, NDArray[np.bool_]]:
    """Columns with the values of their best quality class accepted, and which of them have no data at all.

    Parameters
    ----------
    values, noise : (n, m) float32
        **Changed**, like `flags`: what is not accepted becomes 0.
    flags : (n, m) uint16, optional
        Quality bits.
    """
    n, m = values.shape
    finite = np.isfinite(values)
    if noise is not None:
        finite &= np.isfinite(noise)
    if not finite.all():
        flags = np.zeros(values.shape, bits.MASK_DTYPE) if flags is None else flags
        flags[~finite] |= bits.MASK_DTYPE(bits.NO_DATA)
    accepted = None if flags is None else (flags & bits.MASK_DTYPE(bits.UNUSABLE)) == 0
    if flags is not None and accepted is not None and not accepted.all():
        empty = np.zeros(m, dtype=bool)
        hopeless = np.flatnonzero(~accepted.any(axis=0))
        if hopeless.size:
            badness = _badness_table()[flags[:, hopeless]]
            best = badness.min(axis=0)
            accepted[:, hopeless] = badness == best
            empty[hopeless] = best == _NO_DATA_CLASS
        # Half of the time of numpy.count_nonzero, and again a fifth of that in bytes.
        count = accepted.sum(axis=0, dtype=np.uint8 if n < 256 else np.int32).astype(np.intp)
        zero_all_except(accepted, values, noise, flags)
        if empty.any():
            # These columns are only carried along; their values may be anything.
            values[:, empty] = 0
            if noise is not None:
                noise[:, empty] = 0
        return Columns(values, noise, flags, accepted, count), empty
    return Columns(values, noise, flags, None, np.full(m, n, np.intp)), np.zeros(m, dtype=bool)
