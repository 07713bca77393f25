"""Recipes for lamp flats taken through the keyhole."""

from __future__ import annotations

from typing import Any

__all__ = ["makeProcessedFlat"]


def makeProcessedFlat(p: Any) -> None:  # noqa: N802  (published name)
    """Combine lamp-on and lamp-off flats into a master flat with median 1 in the keyhole."""
    p.prepare()
    p.addDQ(add_illum_mask=False)
    p.ADUToElectrons()
    p.addVAR(read_noise=True, poisson_noise=True)
    p.nonlinearityCorrect()
    p.makeLampFlat()
    p.addIllumMaskToDQ()
    p.normalizeFlat()
    p.thresholdFlatfield()
    p.storeProcessedFlat()
