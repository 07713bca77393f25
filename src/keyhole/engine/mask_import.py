"""A map of bad pixels from elsewhere becomes a mask that databases and frames know how to take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from keyhole.engine.inputs import require_plain_name
from keyhole.errors import DataError, InputError, ParameterError
from keyhole.frames import Frame, add_provenance, file_md5, read_frame, write_frame
from keyhole.headers import Header
from keyhole.primitives.bad_pixels import bad_pixels_for, write_history

__all__ = ["ImportedMask", "import_mask"]

# What a search for masks compares, and what tells that the file is of an observatory.
_COPIED = ("OBSERVAT", "TELESCOP", "INSTRUME", "ARRAYID", "ARRAYTYP", "CONID")


@dataclass(frozen=True)
class ImportedMask:
    """A mask that was written.

    Attributes
    ----------
    path : Path
        The file.
    bad, hidden : int
        Number of bad pixels, and of those that the map calls bad only for want of light; these are left out.
    array : str
        Array that the mask is for.
    start : datetime
        UT from which on frames find it.
    """

    path: Path
    bad: int
    hidden: int
    array: str
    start: datetime


def import_mask(source: Path, output: Path, *, like: Path, date: str | None = None) -> ImportedMask:
    """Write a map of bad pixels as a bad-pixel mask for frames like a given one.

    Parameters
    ----------
    source : Path
        Map: one two-dimensional image, 0 = good. Cut to the frame where DETSEC cards tell how.
    output : Path
        Mask to write; must not exist.
    like : Path
        Any frame of the array.
    date : str, optional
        First day, or ISO time, UT, for which the mask holds; by default the day of the frame.

    Raises
    ------
    InputError
        A file is missing, or `output` exists.
    DataError
        The map is none or does not fit, or the frame does not tell its array.
    ParameterError
        The date is none.
    SetupError
        The mask cannot be written.
    """
    for path in (source, output):
        require_plain_name(path)
    if output.exists():
        raise InputError(f"{output} exists; give the mask another name with -o")
    frame, bare = read_frame(like), read_frame(source)
    array = frame.describe("array_name")
    taken: datetime | None = frame.describe("ut_datetime")
    if array is None or (taken is None and date is None):
        what = "array" if array is None else "date"
        raise DataError(f"{like}: the header does not tell the {what}; give another frame with --like")
    start = _start(date, taken)
    bad, hidden = bad_pixels_for(frame, bare)
    _write(frame, bad.astype(np.int16), source, output, start)
    return ImportedMask(output, int(bad.sum()), hidden, str(array), start)


def _start(date: str | None, taken: datetime | None) -> datetime:
    """Time from which on the mask holds: as said, else the beginning of the day of the frame."""
    if date is None and taken is not None:
        return taken.replace(hour=0, minute=0, second=0, microsecond=0)
    try:
        start = datetime.fromisoformat(str(date))
    except ValueError:
        raise ParameterError(f"--date {date}: expected a day or time, UT, such as 2012-12-05") from None
    return start.astimezone(UTC).replace(tzinfo=None) if start.tzinfo else start


def _write(like: Frame, values: np.ndarray, source: Path, output: Path, start: datetime) -> None:
    stamp = datetime.now(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    told = like.primary.comments
    primary = Header({key: (like.primary[key], told[key]) for key in _COPIED if key in like.primary})
    primary["OBJECT"] = ("BPM", "Bad-pixel mask")
    primary["OBSTYPE"] = "BPM"
    primary["DATE-OBS"] = (start.date().isoformat(), "Holds from this day on")
    primary["UT"] = (start.time().isoformat(timespec="milliseconds"), "and from this time on")
    primary["NBADPIX"] = (int(values.sum()), "Bad pixels in the mask")
    primary["BPMASK"] = (stamp, "UT time stamp for keyhole bpm import")
    primary["GEM-TLM"] = (stamp, "UT last modification with the pipeline")
    header = Header()
    if "DETSEC" in like.header:
        header["DETSEC"] = like.header["DETSEC"]
    mask = Frame(output.name, primary, header, values)
    write_history(mask, f"{int(values.sum())} of map {source.name}.")
    add_provenance(mask, stamp, source.name, file_md5(source), "keyhole bpm import")
    write_frame(mask, output)
