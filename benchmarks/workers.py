"""Whether one worker and several give the same products."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.io import fits
from speed_nights import Bench

__all__ = ["same_products"]


def same_products(bench: Bench) -> str:
    """Reduce a whole night with one and with two workers, and compare every pixel and every catalogue."""
    folder = bench.folder("workers")
    for jobs in (1, 2):
        bench.call(folder, "keyhole", "night", bench.night(), "-o", str(folder / f"jobs-{jobs}"), "--jobs", str(jobs))
    first, second = (sorted((folder / f"jobs-{jobs}").rglob("*.fits")) for jobs in (1, 2))
    if [path.name for path in first] != [path.name for path in second] or not first:
        return f"different files ({len(first)} and {len(second)})"
    differing = [path.name for path, other in zip(first, second, strict=True) if not _same(path, other)]
    return f"{', '.join(differing)} differ" if differing else f"{len(first)} files, identical to the last bit"


def _same(first: Path, second: Path) -> bool:
    """Whether planes and tables are equal but for the lists of steps, which hold times."""
    with fits.open(first) as one, fits.open(second) as other:
        names = [hdu.name for hdu in one]
        return names == [hdu.name for hdu in other] and all(
            _equal(one[name].data, other[name].data) for name in names if name not in ("HISTORY", "PROVENANCE")
        )


def _equal(first: object, second: object) -> bool:
    if first is None or second is None:
        return first is second
    return np.asarray(first).tobytes() == np.asarray(second).tobytes()
