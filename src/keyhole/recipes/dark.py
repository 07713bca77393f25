"""Recipes for darks."""

from __future__ import annotations

from typing import Any

__all__ = ["makeProcessedDark"]


def makeProcessedDark(p: Any) -> None:  # noqa: N802  (published name)
    """Combine darks of one exposure time into a master dark, in electrons."""
    p.prepare()
    p.addDQ()
    p.ADUToElectrons()
    p.addVAR(read_noise=True, poisson_noise=True)
    p.nonlinearityCorrect()
    p.stackDarks()
    p.storeProcessedDark()
