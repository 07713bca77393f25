"""Frames in memory as the telescope writes them, and a run that steps can ask, for tests of single steps."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from tiny_frames import DARK, FLAT, SCIENCE

from keyhole.frames import Frame, MasterPart, MasterParts
from keyhole.instruments import Instrument, load

SCALE = 0.1517
TARGET = (16.24142, 33.93044)
PA = 103.3


def cd_matrix(*, y_error: float = 1.0) -> NDArray[np.float64]:
    """Degrees per pixel of a frame at the position angle of the sequence; the y axis may be too long."""
    # The x axis of GNIRS frames of 2012 lies 181.35 degrees from the position angle, +y a quarter turn before it.
    angle = np.radians(PA + 181.35)
    x_axis = np.array([np.sin(angle), np.cos(angle)])
    y_axis = np.array([np.sin(angle - np.pi / 2), np.cos(angle - np.pi / 2)]) * y_error
    return np.column_stack([x_axis, y_axis]) * SCALE / 3600


def wcs_cards(*, crpix: tuple[float, float] = (507.8, 458.1), y_error: float = 1.0) -> dict[str, object]:
    """WCS cards with the target at `crpix` (1-based)."""
    cd = cd_matrix(y_error=y_error)
    return {
        "CTYPE1": "RA---TAN",
        "CRPIX1": crpix[0],
        "CRVAL1": TARGET[0],
        "CTYPE2": "DEC--TAN",
        "CRPIX2": crpix[1],
        "CRVAL2": TARGET[1],
        "CD1_1": cd[0, 0],
        "CD1_2": cd[0, 1],
        "CD2_1": cd[1, 0],
        "CD2_2": cd[1, 1],
    }


POINTING = {"RA": TARGET[0], "DEC": TARGET[1], "PA": PA, "POFFSET": 0.0, "QOFFSET": 0.0, "INPORT": 3}


def raw_frame(
    data: NDArray[Any], cards: dict[str, object] | None = None, *, name: str = "", **changes: object
) -> Frame:
    """A raw frame; `changes` with value None remove a card."""
    primary = fits.Header()
    everything = (SCIENCE | POINTING | wcs_cards() if cards is None else dict(cards)) | changes
    for key, value in everything.items():
        if value is not None:
            primary[key.replace("DATE_OBS", "DATE-OBS")] = value
    primary["ORIGNAME"] = name or "N20120117S0014.fits"
    return Frame(name=str(primary["ORIGNAME"]), primary=primary, header=fits.Header(), data=data.astype(np.float32))


def raw_dark(data: NDArray[Any], *, name: str = "N20120102S0538.fits", **changes: object) -> Frame:
    return raw_frame(data, DARK | POINTING, name=name, **changes)


def raw_flat(data: NDArray[Any], *, lamp: bool = True, name: str = "N20120117S0034.fits", **changes: object) -> Frame:
    return raw_frame(data, FLAT | POINTING | {"GCALSHUT": "OPEN" if lamp else "CLOSED"}, name=name, **changes)


def electrons(
    data: NDArray[Any],
    *,
    number: int = 0,
    variance: float | NDArray[Any] = 100.0,
    mask: NDArray[np.uint16] | None = None,
    crpix: tuple[float, float] = (40.0, 30.0),
    **changes: object,
) -> Frame:
    """A science frame in electrons with planes and a WCS, one minute after the one before."""
    name = f"N20120117S{14 + number:04d}.fits"
    frame = raw_frame(data, SCIENCE | POINTING, name=name, UT=f"05:{number + 1:02d}:00.0", EXPTIME=60.0, **changes)
    frame.primary["PREPARE"] = frame.primary["GEM-TLM"] = "2026-01-01T00:00:00"
    for key, value in wcs_cards(crpix=crpix).items():
        frame.header[key] = value
    for key, number_ in (("GAIN", 1.0), ("RDNOISE", 10.0), ("SATLEVEL", 9e4), ("NONLINEA", 6.4e4), ("PIXSCALE", SCALE)):
        frame.header[key] = number_
    frame.header["BUNIT"] = "electron"
    frame.variance = np.broadcast_to(np.float32(variance), data.shape).astype(np.float32)
    frame.mask = np.zeros(data.shape, np.uint16) if mask is None else mask.astype(np.uint16)
    return frame


@dataclass
class FakeContext:
    """A run of one step: answers what it is asked and remembers what it is told."""

    mode: str = "sq"
    best_effort: bool = False
    streams: dict[str, list[Frame]] = field(default_factory=dict)
    masters: dict[str, Frame] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    caveats: list[str] = field(default_factory=list)
    written: list[Frame] = field(default_factory=list)
    details: bool = False
    parts: MasterParts = field(default_factory=MasterParts)
    measured: dict[tuple[str | None, str], tuple[Any, float | None, str]] = field(default_factory=dict)

    def measure(
        self, name: str, value: Any, *, error: float | None = None, unit: str = "", frame: Frame | None = None
    ) -> None:
        self.measured[None if frame is None else frame.root, name] = (value, error, unit)

    def preview(self, frame: Frame, role: str) -> None:
        pass

    def instrument(self, frame: Frame) -> Instrument:
        return load("GNIRS")

    def calibration(self, frame: Frame, kind: str) -> Frame | None:
        return self.masters.get(kind)

    def read_calibration(self, path: str, kind: str) -> Frame:
        return self.masters[path]

    def part(self, master: Frame, frame: Frame) -> MasterPart:
        return self.parts.of(master, frame)

    def checksum(self, path: Path) -> str:
        return "0" * 32

    def note(self, text: str) -> None:
        self.notes.append(text)

    def caveat(self, text: str, frames: list[Frame] | None = None) -> None:
        self.caveats.append(text)

    def progress(self, done: int, total: int) -> None:
        pass

    def settle(self, frame: Frame, n_frames: int) -> None:
        pass

    def timestamp(self) -> str:
        return "2026-01-01T00:00:00.000000"

    def write(self, frame: Frame, *, final: bool = True) -> str:
        self.written.append(frame)
        return frame.name
