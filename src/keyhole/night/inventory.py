"""What lies in a folder: raw frames that can be reduced, and everything else with the reason why not."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from keyhole.calibration import Facts, facts_of
from keyhole.engine.inputs import Input, accept
from keyhole.errors import KeyholeError
from keyhole.instruments import available

__all__ = ["Inventory", "LeftAside", "RawFile", "take_inventory"]

_FITS_ENDINGS = (".fits", ".fits.gz", ".fits.bz2")
# Frames that point the telescope, not those that one measures on.
_ACQUISITION = frozenset({"acq", "acqCal"})
_KINDS = frozenset({"dark", "flat", "science image"})


@dataclass(frozen=True)
class RawFile:
    """A raw frame that can be reduced.

    Attributes
    ----------
    path : str
        Relative to the folder of the inventory.
    kind : str
        ``dark``, ``flat`` or ``science image``.
    target : str
        Name of the object in the header.
    filter : str
        Short name.
    camera : str
        Short name.
    facts : Facts
        What association rules compare.
    size : (int or None, int or None)
        Columns and rows of the image.
    """

    path: str
    kind: str
    target: str
    filter: str
    camera: str
    facts: Facts
    size: tuple[int | None, int | None] = (None, None)


@dataclass(frozen=True)
class LeftAside:
    """A file that is not reduced.

    Attributes
    ----------
    path : str
        Relative to the folder of the inventory.
    why : str
        The reason, in words without the name of the file.
    """

    path: str
    why: str


@dataclass(frozen=True)
class Inventory:
    """All files of a folder and the folders in it.

    Attributes
    ----------
    folder : Path
        Absolute.
    frames : tuple of RawFile
        In time.
    aside : tuple of LeftAside
        By name.
    """

    folder: Path
    frames: tuple[RawFile, ...]
    aside: tuple[LeftAside, ...]


def take_inventory(folder: str | Path, *, leave_out: Path | None = None) -> Inventory:
    """Sort the files of a folder, and of the folders in it, by their headers alone.

    Parameters
    ----------
    folder : path
        Read, not changed; it must exist.
    leave_out : Path, optional
        A folder within that is not looked at: where the products go.

    Returns
    -------
    Inventory
        Every file is in one of its two lists.
    """
    root = Path(folder).absolute()
    outside = None if leave_out is None else leave_out.absolute()
    frames: list[RawFile] = []
    aside: list[LeftAside] = []
    for path in _files(root, outside):
        found = _look(path, str(path.relative_to(root)))
        if isinstance(found, RawFile):
            frames.append(found)
        else:
            aside.append(found)
    frames.sort(key=lambda frame: (frame.facts.ut_microseconds or 0, frame.path))
    distinct: list[RawFile] = []
    first_of: dict[tuple[object, ...], RawFile] = {}
    for frame in _complete(frames):
        if isinstance(frame, LeftAside):
            aside.append(frame)
            continue
        first = first_of.setdefault(_exposure(frame), frame)
        if first is frame:
            distinct.append(frame)
        else:
            aside.append(LeftAside(frame.path, f"the same exposure as {first.path}"))
    return Inventory(root, tuple(distinct), tuple(sorted(aside, key=lambda item: item.path)))


def _files(root: Path, outside: Path | None) -> Iterator[Path]:
    for folder, folders, names in os.walk(root):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if here / name != outside and not name.startswith("."))
        yield from (here / name for name in sorted(names))


def _look(path: Path, name: str) -> RawFile | LeftAside:
    if not path.name.endswith(_FITS_ENDINGS):
        return LeftAside(name, "not a FITS file by its name")
    try:
        item = accept([path], supported=lambda word: word.upper() in available()).items[0]
    except KeyholeError as error:
        return LeftAside(name, _reason(str(error), path))
    return _sorted(item, name)


def _sorted(item: Input, name: str) -> RawFile | LeftAside:
    facts = facts_of(item.headers)
    if item.kind not in _KINDS:
        return LeftAside(name, "a reduced image; only raw frames are planned")
    if facts.qa_state == "Fail":
        return LeftAside(name, "the observatory judged it as failed")
    if facts.ut_datetime is None:
        return LeftAside(name, "the header does not tell the time of the exposure")
    if item.kind == "science image" and facts.observation_class in _ACQUISITION:
        return LeftAside(name, f"an acquisition frame (class {facts.observation_class})")
    return RawFile(
        name,
        item.kind,
        str(item.describe("object") or "unnamed").strip(),
        str(item.describe("filter_name", pretty=True) or "?"),
        str(item.describe("camera", pretty=True) or "?"),
        facts,
        item.size,
    )


def _complete(frames: list[RawFile]) -> Iterator[RawFile | LeftAside]:
    """Leave aside frames whose image has another size than most of the array's frames."""
    usual: dict[str | None, Counter[tuple[int | None, int | None]]] = {}
    for frame in frames:
        usual.setdefault(frame.facts.array_name, Counter())[frame.size] += 1
    for frame in frames:
        size = usual[frame.facts.array_name].most_common(1)[0][0]
        if frame.size == size:
            yield frame
        else:
            has, have = ("{} x {}".format(*one) for one in (frame.size, size))
            yield LeftAside(frame.path, f"an image of {has} pixels, where those of the array have {have}")


def _reason(sentence: str, path: Path) -> str:
    """An error as a reason: without the name of the file, which stands beside it, and without advice."""
    words = sentence.replace(str(path), "").replace(path.name, "").strip(" :,")
    return re.split(r"; (?:leave|give|only|if)\b", words)[0].strip() or sentence


def _exposure(frame: RawFile) -> tuple[object, ...]:
    facts = frame.facts
    return facts.instrument, facts.data_label, facts.ut_datetime, facts.observation_type
