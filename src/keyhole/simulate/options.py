"""What a simulated night shall contain: the choices of the user, checked."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from keyhole.errors import ParameterError

__all__ = ["CAMERAS", "EFFECTS", "FILTERS", "READ_MODES", "WELL_DEPTHS", "NightOptions"]

EFFECTS: dict[str, str] = {
    "bad-pixels": "hot, warm, dead and cold pixels",
    "cosmic-rays": "cosmic rays",
    "dark-current": "dark current",
    "flexure": "displacement of keyhole and stars on the array",
    "lamp-pattern": "illumination pattern of the lamp that the sky does not have",
    "non-linearity": "non-linear response and saturation",
    "pattern": "row offsets and 16 x 4 pixel pattern of the electronics",
    "pedestal": "constant electronic offset",
    "persistence": "afterglow of bright light in later exposures",
    "pointing": "pointing errors that the headers do not know",
    "poisson": "photon and dark current noise",
    "read-noise": "read noise",
    "response": "pixel-to-pixel, large-scale and streaky response",
    "seeing": "changes of the seeing from frame to frame",
    "sky": "all light of the sky",
    "sky-drift": "changes of the sky level",
    "sky-slope": "slope of the sky",
    "stars": "all stars",
    "transparency": "changes of the transparency",
}

READ_MODES: dict[str, tuple[int, int]] = {
    "Very Faint Objects": (32, 16),
    "Faint Objects": (16, 16),
    "Bright Objects": (1, 16),
    "Very Bright Objects": (1, 1),
}
"""Read mode names and their (LNRS, NDAVGS)."""

WELL_DEPTHS = ("Shallow", "Deep")

CAMERAS = ("ShortBlue_G5538", "ShortBlue_G5540", "ShortRed_G5539", "LongBlue_G5542", "LongRed_G5543")
"""Cameras, with component id, whose keyhole has been measured."""

FILTERS: dict[str, tuple[str, str]] = {
    "YPHOT_G0544": ("YPHOT_G0544", "Open"),
    "JPHOT_G0545": ("JPHOT_G0545", "Open"),
    "KPHOT_G0546": ("KPHOT_G0546", "Open"),
    "J_G0517": ("Open", "J_G0517"),
    "H_G0516": ("Open", "H_G0516"),
    "K_G0515": ("Open", "K_G0515"),
    "H2_G0522": ("Open", "H2_G0522"),
}
"""Filter names and the positions of the two wheels.

The component numbers of JPHOT and KPHOT stand in no header at hand; those given here are assumed.
"""


@dataclass(frozen=True, kw_only=True)
class NightOptions:
    """Content of a night.

    Attributes
    ----------
    frames, darks, flats : int
        Number of science frames, of darks, and of flats with lamp on (as many follow with lamp off).
    camera, filter : str
        Names with component id; an unambiguous start (``LongBlue``, ``H2``) is enough.
    exptime : float
        Science exposure time of one coadd, s.
    coadds : int
        Coadds of a science frame; darks have the same total exposure in ``dark_coadds``.
    dark_coadds : int
        Coadds of a dark.
    flat_exptime : float
        Exposure time of a flat, s.
    read_mode, well : str
        Detector settings; ``Faint`` means ``Faint Objects``.
    array : str
        Name of the array, the ARRAYID card.
    stars : int
        Field stars, beside the two targets.
    dither : float or None
        Step of the dither pattern along the slot, arcsec; None for the usual one of the camera.
    without : collection of str
        Effects (keys of `EFFECTS`) that are turned off.

    Raises
    ------
    ParameterError
        A value is unknown or out of its range.
    """

    frames: int = 20
    darks: int = 10
    flats: int = 8
    camera: str = "ShortBlue_G5538"
    filter: str = "J_G0517"
    exptime: float = 30.0
    coadds: int = 2
    dark_coadds: int = 1
    flat_exptime: float = 1.2
    read_mode: str = "Faint Objects"
    well: str = "Shallow"
    array: str = "SN7638228.1"
    stars: int = 40
    dither: float | None = None
    without: Collection[str] = frozenset()

    def __post_init__(self) -> None:
        self._settle("camera", _choose("camera", self.camera, CAMERAS))
        self._settle("filter", _choose("filter", self.filter, FILTERS))
        self._settle("read_mode", _choose("read mode", self.read_mode, READ_MODES))
        self._settle("well", _choose("well depth", self.well, WELL_DEPTHS))
        self._settle("without", frozenset(_choose("effect", name, EFFECTS) for name in self.without))
        _check_range("frames", self.frames, 0, 9000)
        _check_range("darks", self.darks, 0, 400)
        _check_range("flats", self.flats, 0, 400)
        _check_range("exptime", self.exptime, 0.1, 3600.0)
        _check_range("flat exptime", self.flat_exptime, 0.1, 3600.0)
        _check_range("coadds", self.coadds, 1, 1000)
        _check_range("dark coadds", self.dark_coadds, 1, 1000)
        _check_range("stars", self.stars, 0, 2000)
        if self.dither is not None:
            _check_range("dither", self.dither, 0.0, 20.0)
        if self.frames + self.darks + self.flats == 0:
            raise ParameterError("A night without frames, darks and flats is empty; ask for at least one frame.")

    def has(self, effect: str) -> bool:
        """Say whether an effect is simulated.

        Parameters
        ----------
        effect : str
            A key of `EFFECTS`.
        """
        if effect not in EFFECTS:
            raise KeyError(effect)
        return effect not in self.without

    @property
    def total_exptime(self) -> float:
        """Exposure time of all coadds of a science frame, s."""
        return self.exptime * self.coadds

    def _settle(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)


def _choose(what: str, given: str, known: Iterable[str]) -> str:
    """Find the known name that is meant: the same but for case, or the only one that begins so."""
    names = list(known)
    wanted = given.strip().lower()
    same = [name for name in names if name.lower() == wanted]
    begins = same or [name for name in names if wanted and name.lower().startswith(wanted)]
    # "J" is J_G0517 rather than JPHOT; "ShortBlue" is the camera of the time, listed first.
    stripped = [name for name in begins if name.lower().split("_g")[0] == wanted]
    if len(begins) == 1 or (begins and stripped):
        return (stripped or begins)[0]
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(names)}."
    raise ParameterError(f"Unknown {what} {given!r}; {hint}")


def _check_range(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ParameterError(f"{what} = {value:g} is out of range; give a value from {low:g} to {high:g}.")
