"""Recipes for lamp flats taken through the keyhole."""

from __future__ import annotations

from typing import Any

__all__ = ["makeProcessedBPM", "makeProcessedFlat"]


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


def makeProcessedBPM(p: Any) -> None:  # noqa: N802  (published name)
    """Make a mask of bad pixels from lamp-on and lamp-off flats and short darks, given in one list."""
    p.prepare()
    p.addDQ(static_bpm=None, add_illum_mask=False)
    p.ADUToElectrons()
    p.addVAR(read_noise=True, poisson_noise=True)
    p.nonlinearityCorrect()
    p.selectFromInputs(tags="DARK", outstream="darks")
    p.selectFromInputs(tags="FLAT")
    p.stackDarks(stream="darks")
    p.makeLampFlat()
    p.addIllumMaskToDQ()
    p.normalizeFlat()
    p.makeBPM()
    p.storeBPM()
