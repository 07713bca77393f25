"""The nights on which the accuracy is measured."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["NIGHTS", "QUICK", "SETS", "Night"]


class Night(NamedTuple):
    """A kind of night: name, what it is in words, options of ``keyhole simulate``."""

    name: str
    title: str
    options: str = ""


NIGHTS = (
    Night("tutorial", "the tutorial's night"),
    Night("faint", "100 stars down to 22.5 mag", "--stars 100 --faintest 22.5"),
    Night("one-star", "one star only, 15 mag", "--targets 1 --stars 0 --target-mag 15"),
    Night("no-star", "no star at all", "--no-stars"),
    Night("clouds", "clouds, transparency 0.3 to 1", "--clouds 0.3"),
    Night("seeing", "seeing from 0.4 to 1.2 arcsec", "--seeing 0.4 1.2"),
    Night("jumps", "2-arcsec pointing jumps in three frames", "--jumps 3 --jump 2"),
    Night("closed", "telescope closed in one frame", "--closed 7"),
    Night("saturated", "saturated target of 9 mag", "--target-mag 9"),
    Night("bright", "target of 7 mag whose wings fill the slot", "--target-mag 7"),
    Night("nebula", "nebula of a tenth of the sky", "--nebula 0.1"),
    Night("late", "last frame 90 minutes later", "--late 90"),
    Night("sky-field", "every second frame on a sky field", "--sky-offset 120"),
    Night("1-frame", "1 frame", "--frames 1"),
    Night("2-frames", "2 frames", "--frames 2"),
    Night("3-frames", "3 frames", "--frames 3"),
    Night("5-frames", "5 frames", "--frames 5"),
    Night("60-frames", "60 frames", "--frames 60"),
    Night("long", "long camera, bar wider than the array", "--camera LongBlue"),
    Night("jphot", "JPHOT, no wings", "--filter JPHOT"),
    Night("kphot", "KPHOT, no wings", "--filter KPHOT"),
    Night("coadds", "10 coadds of 6 s", "--coadds 10 --exptime 6"),
    Night("deep", "deep well", "--well deep"),
    Night("polynomial", "array whose non-linearity is known", "--array SN7638228.1.2"),
    Night("pattern", "pattern noise of 10 electrons", "--pattern-noise 10"),
    Night("inherited", "all frames with the WCS of the first", "--era north-inherited"),
    Night(
        "ao",
        "headers behind the adaptive optics, long camera, 0.1 arcsec",
        "--era north-2016-ao --camera LongBlue --array SN7638228.1.2 --seeing 0.09 0.13",
    ),
    Night("south-2004", "headers of Gemini South 2004", "--era south-2004"),
    Night("south-2005", "headers of Gemini South 2005", "--era south-2005"),
    Night("no-lamp-off", "no lamp-off flats", "--flats-off 0"),
    Night("other-flats", "flats of another night, keyhole 5 pixels away", "--flats-displaced 5"),
)

QUICK = ("tutorial", "clouds", "closed", "one-star", "5-frames")
"""Nights that show in some minutes whether something broke."""

SETS: dict[str, tuple[str, ...]] = {"classic": ("--set", "classic")}
"""Words added to the reduction of the science frames."""
