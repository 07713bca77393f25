"""Recipes for science images."""

from __future__ import annotations

from typing import Any

__all__ = ["alignAndStack", "reduce"]


def reduce(p: Any) -> None:
    """Reduce dithered science frames to one stacked image in electrons."""
    p.prepare()
    p.addDQ()
    # The unlit pixels around the light are needed to clean the read-out.
    p.limitToLight(rows=64, columns=None)
    p.addLatencyToDQ()
    p.ADUToElectrons()
    p.addVAR(read_noise=True, poisson_noise=True)
    p.nonlinearityCorrect()
    p.darkCorrect()
    p.cleanReadout()
    p.limitToLight()
    p.flatCorrect()
    p.illuminationCorrect()
    p.applyDQPlane()
    p.separateSky()
    p.associateSky()
    p.skyCorrect()
    p.detectSources()
    p.adjustWCSToReference()
    p.flagCosmicRays()
    p.resampleToCommonFrame()
    p.scaleCountsToReference()
    p.stackFrames()
    p.clearUnlit()
    p.cropToLight(crop=False)
    p.detectSources(suffix="_stack")
    p.writeOutputs()
    p.storeProcessedScience(suffix="_image")


def alignAndStack(p: Any) -> None:  # noqa: N802  (published name)
    """Combine images that are already reduced into one."""
    p.detectSources()
    p.adjustWCSToReference()
    p.flagCosmicRays()
    p.resampleToCommonFrame()
    p.scaleCountsToReference()
    p.stackFrames()
    p.clearUnlit()
    p.cropToLight(crop=False)
    p.detectSources(suffix="_stack")
    p.writeOutputs()
