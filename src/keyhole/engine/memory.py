"""Freed memory is kept for what comes next, as new memory takes longer than most of what is computed in it."""

from __future__ import annotations

import ctypes
import os
from typing import Final

import numpy as np

__all__ = ["keep_freed_memory"]

# mallopt(3)
_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
_LARGEST_IN_HEAP: Final = 32 << 20
"""Bytes; larger blocks are asked for one by one. It is the most that the library takes."""
_KEPT: Final = 256 << 20
"""Bytes at the end of the heap that are kept when they are free."""
_LEARNT: Final = 31 << 20
"""Bytes just below the largest block from which the library learns by itself."""
_ASKED_FOR: Final = ("GLIBC_TUNABLES", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_")


def keep_freed_memory() -> None:
    """Let the C library keep freed blocks instead of giving them back to the system at once.

    It would ask for them again: a page of new memory takes a microsecond or two, and a frame has thousands of them. The
    most memory that is in use at a time is the same. Nothing is done where the environment says how it is to be, and
    where the library is another one.
    """
    if any(name in os.environ for name in _ASKED_FOR):
        return
    # A block that comes and goes, of which nothing is touched, teaches it to keep twice as much.
    np.empty(_LEARNT, np.uint8)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        # No glibc: other libraries have their own ways, and Windows does not even name its own so.
        return
    # The threshold for single blocks first: if one of the two is set, the library learns no more.
    if mallopt(_M_MMAP_THRESHOLD, _LARGEST_IN_HEAP):
        mallopt(_M_TRIM_THRESHOLD, _KEPT)
