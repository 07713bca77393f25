"""What a simulated night shall contain: the choices of the user, checked."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from keyhole.errors import ParameterError

__all__ = ["CAMERAS", "EFFECTS", "ERAS", "FILTERS", "READ_MODES", "WELL_DEPTHS", "NightOptions"]

EFFECTS: dict[str, str] = {
    "bad-pixels": "hot, warm, dead and cold pixels",
    "cosmic-rays": "cosmic rays",
    "dark-current": "dark current",
    "flexure": "displacement of keyhole and stars on the array",
    "lamp-pattern": "illumination pattern of the lamp that the sky does not have",
    "non-linearity": "non-linear response and saturation",
    "pattern": "row offsets and 16 x 4 pixel pattern of the electronics",
    "pattern-breaks": "starts and ends of the changing pattern within a quadrant",
    "pedestal": "constant electronic offset",
    "persistence": "afterglow of bright light in later exposures",
    "pointing": "pointing errors that the headers do not know",
    "poisson": "photon and dark current noise",
    "read-noise": "read noise",
    "response": "pixel-to-pixel, large-scale and streaky response",
    "row-noise": "row offsets that change from frame to frame",
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

ERAS: dict[str, str] = {
    "north-2012": "Gemini North, January 2012",
    "north-2016-ao": "Gemini North 2016 behind the adaptive optics: port 1, scale and direction of the WCS wrong",
    "north-inherited": "as north-2012, but all frames carry the WCS of the first",
    "south-2004": "Gemini South: no P and Q offsets, no class, the WCS of another target and of no camera",
    "south-2005": "Gemini South: no P and Q offsets, no class, a WCS of a quarter of the scale",
}
"""Epochs of the headers."""

_USUAL_ARRAY = "SN7638228.1"
_SOUTHERN_ARRAY = "UNKNOWN"


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
    targets : int
        0, 1 or 2: how many of the two targets there are.
    target_mag : float
        Magnitude of the first target.
    faintest : float
        Magnitude of the faintest field stars.
    seeing : tuple of float, optional
        Best and worst seeing, arcsec: every frame has its own between them.  The usual seeing if None.
    clouds : float
        Transparency under the thickest part of the clouds that pass; 1 is a clear sky.
    jumps : int
        Science frames, never the first, for which the telescope is off its place.
    jump : float
        By how much, arcsec.
    closed : collection of int
        Numbers (from 1) of science frames taken with the telescope closed.
    late : float
        Minutes by which the last science frame, and the flats, come later.
    nebula : float
        Peak of an extended nebula on the sky in units of the night sky.
    sky_offset : float
        Arcsec by which every second science frame points to another field; 0: none does.
    flats_off : int or None
        Number of lamp-off flats; as many as with the lamp on if None.
    flats_displaced : float
        Pixels by which the keyhole is displaced in the flats, which are then those of the next night; 0: they
        are of the same night.
    pattern_noise : float
        Spread of the 16 x 4 pixel pattern that changes from frame to frame, electrons of one coadd.
    row_noise : float
        Spread of the offsets of the rows of a quadrant, which change from frame to frame, electrons of one coadd.
    era : str
        Epoch of the headers, a key of `ERAS`; those of the South have the array of that time.

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
    array: str = _USUAL_ARRAY
    stars: int = 40
    dither: float | None = None
    without: Collection[str] = frozenset()
    targets: int = 2
    target_mag: float = 13.2
    faintest: float = 20.0
    seeing: tuple[float, float] | None = None
    clouds: float = 1.0
    jumps: int = 0
    jump: float = 2.0
    closed: Collection[int] = frozenset()
    late: float = 0.0
    nebula: float = 0.0
    sky_offset: float = 0.0
    flats_off: int | None = None
    flats_displaced: float = 0.0
    pattern_noise: float = 0.7
    row_noise: float = 0.4
    era: str = "north-2012"

    def __post_init__(self) -> None:
        self._settle("camera", _choose("camera", self.camera, CAMERAS))
        self._settle("filter", _choose("filter", self.filter, FILTERS))
        self._settle("read_mode", _choose("read mode", self.read_mode, READ_MODES))
        self._settle("well", _choose("well depth", self.well, WELL_DEPTHS))
        self._settle("without", frozenset(_choose("effect", name, EFFECTS) for name in self.without))
        self._settle("era", _choose("era", self.era, ERAS))
        self._settle("closed", frozenset(self.closed))
        if self.is_southern and self.array == _USUAL_ARRAY:
            self._settle("array", _SOUTHERN_ARRAY)
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
        self._check_conditions()

    def _check_conditions(self) -> None:
        for what, value, low, high in (
            ("targets", self.targets, 0, 2),
            ("target magnitude", self.target_mag, 2.0, 25.0),
            ("faintest magnitude", self.faintest, 13.0, 26.0),
            ("clouds", self.clouds, 0.01, 1.0),
            ("jumps", self.jumps, 0, max(self.frames - 1, 0)),
            ("jump", self.jump, 0.0, 20.0),
            ("late", self.late, 0.0, 600.0),
            ("nebula", self.nebula, 0.0, 10.0),
            ("sky offset", self.sky_offset, 0.0, 3600.0),
            ("lamp-off flats", 0 if self.flats_off is None else self.flats_off, 0, self.flats),
            ("displacement of the flats", self.flats_displaced, 0.0, 15.0),
            ("pattern noise", self.pattern_noise, 0.0, 1000.0),
            ("row noise", self.row_noise, 0.0, 1000.0),
        ):
            _check_range(what, value, low, high)
        for number in self.closed:
            _check_range("closed frame", number, 1, self.frames)
        if self.seeing is not None:
            best, worst = self.seeing
            _check_range("best seeing", best, 0.05, 10.0)
            _check_range("worst seeing", worst, best, 10.0)

    @property
    def is_southern(self) -> bool:
        """Whether the headers are those of Gemini South."""
        return self.era.startswith("south")

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
