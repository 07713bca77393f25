"""The inputs of a run: read by their headers, checked as a set, before any pixel is touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from keyhole.calibration import set_criteria
from keyhole.errors import DataError, InputError
from keyhole.headers import Cards, Headers, check_complete, describe_extension, read_headers, tags

__all__ = ["Input", "InputSet", "accept", "require_plain_name"]

# What frames of one run must share, by kind: descriptor, and what it is called in a message.
_COMMON: dict[str, tuple[tuple[str, str], ...]] = {
    # The sum of the coadds counts; a person calls that the exposure time.
    "dark": tuple(
        (item.quantity, item.label.replace("total exposure", "exposure time")) for item in set_criteria("dark")
    ),
    "flat": tuple((item.quantity, item.label) for item in set_criteria("flat")),
    "science image": (
        ("array_name", "array"),
        ("well_depth_setting", "well depth"),
        ("read_mode", "read mode"),
        ("camera", "camera"),
        ("filter_name", "filter"),
        ("focal_plane_mask", "slit and decker"),
    ),
    "reduced image": (("camera", "camera"), ("filter_name", "filter")),
}
# What the frames of a kind need not share in a list of several kinds.
_FREE_IF_MIXED = ("exposure_time", "coadds")
# Exposure times within this many seconds are equal: the header has them to the hundredth.
_TOLERANCE = 0.01
_CALIBRATIONS = {"BPM": "bad-pixel mask", "DARK": "dark", "FLAT": "flat"}
_FITS_SUFFIXES = (".fits", ".fit", ".fts", ".gz", ".bz2")
# So many bytes tell text from anything else.
_LIST_START = 4096


@dataclass(frozen=True)
class Input:
    """One input file and what its headers say.

    Attributes
    ----------
    path : Path
        As given.
    headers : Headers
        Its cards.
    tags : frozenset of str
        What the frame is.
    kind : str
        ``dark``, ``flat``, ``science image`` or ``reduced image``.
    """

    path: Path
    headers: Headers
    tags: frozenset[str]
    kind: str

    @property
    def size(self) -> tuple[int | None, int | None]:
        """Columns and rows of the image; None where the header does not tell."""
        cards = self.headers.extensions[0] if self.headers.extensions else {}
        # Of an image that is compressed into a table, ZNAXISn give the size.
        columns, rows = (cards.get(f"ZNAXIS{axis}", cards.get(f"NAXIS{axis}")) for axis in (1, 2))
        return columns, rows

    @property
    def root(self) -> str:
        """File name without FITS and compression endings."""
        name = self.path.name
        for ending in (".gz", ".bz2", ".fits"):
            name = name.removesuffix(ending)
        return name

    def describe(self, name: str, **options: Any) -> Any:
        """Answer a descriptor for the science extension."""
        return describe_extension(self.headers, name, **options)


@dataclass(frozen=True)
class InputSet:
    """Accepted inputs of one run.

    Attributes
    ----------
    items : list of Input
        In the order given, each file once.
    kind : str
        ``dark``, ``flat``, ``science image`` or ``reduced image``.
    warnings : list of str
        What was mended without asking.
    """

    items: list[Input]
    kind: str
    warnings: list[str]

    @property
    def tags(self) -> frozenset[str]:
        """Tags of the first input; they choose the recipe."""
        return self.items[0].tags

    @property
    def _counts(self) -> list[str]:
        """Number of inputs of each kind: ``16 flats``, ``10 darks``."""
        counts = Counter(item.kind for item in self.items)
        return [f"{count} {kind}{'s' if count > 1 else ''}" for kind, count in counts.items()]

    @property
    def summary(self) -> str:
        """What the inputs are, in one line; settings are those of the first."""
        first = self.items[0]
        names = [item.path.name for item in self.items]
        span = names[0] if len(names) == 1 else f"{names[0]} ... {names[-1]}"
        words = [" and ".join(self._counts), span]
        if self.kind != "dark":
            words += [first.describe("filter_name", pretty=True), first.describe("camera", pretty=True)]
        exposure, coadds = first.describe("exposure_time"), first.describe("coadds") or 1
        if exposure is not None:
            words.append(f"{exposure:g} s" + (f" ({coadds} x {exposure / coadds:g})" if coadds > 1 else ""))
        words.append(first.describe("read_mode"))
        return "  ".join(str(word) for word in words if word is not None)


def accept(
    files: Sequence[str | Path],
    *,
    supported: Callable[[str], bool],
    together: Callable[[frozenset[str]], frozenset[str]] = lambda _: frozenset(),
) -> InputSet:
    """Read the headers of the inputs and check that they belong together.

    Parameters
    ----------
    files : sequence of path
        Input files; a file given twice, or the same raw frame in two files, is used once, with a warning.
    supported : callable
        Tells whether an instrument, by name, is known.
    together : callable
        From the tags of the first input to the kinds that the recipe takes in one list; empty: one kind only.

    Raises
    ------
    InputError
        No input, a missing file, or frames that do not belong in one run.
    DataError
        A file is damaged or of a foreign instrument.
    """
    if not files:
        raise InputError("no input files; name FITS files or an @list")
    warnings: list[str] = []
    items: dict[Path, Input] = {}
    for path in map(Path, files):
        real = path.resolve()
        if real in items:
            warnings.append(f"{path.name} is given more than once; used once")
        else:
            items[real] = _read(path, supported)
    mixed = _check_kinds(list(items.values()), together)
    chosen = _distinct(items.values(), warnings)
    for kind in dict.fromkeys(item.kind for item in chosen):
        _check_common([item for item in chosen if item.kind == kind], kind, _FREE_IF_MIXED if mixed else ())
    if mixed:
        _check_array(chosen)
    return InputSet(chosen, chosen[0].kind, warnings)


def require_plain_name(path: Path) -> None:
    """Refuse a file whose name cannot stand in the header of a product.

    Raises
    ------
    InputError
        The name holds other characters than printable ASCII, which is all that FITS allows.
    """
    if not (path.name.isascii() and path.name.isprintable()):
        raise InputError(f"{path}: FITS headers cannot hold this file name; give the file a name in plain ASCII")


def _read(path: Path, supported: Callable[[str], bool]) -> Input:
    require_plain_name(path)
    damage = None
    try:
        headers = check_complete(path)
    except DataError as err:
        damage, headers = err, _headers_of_damaged(path)
    instrument = str(headers.primary.get("INSTRUME", "")).strip()
    if not instrument:
        raise DataError(f"{path}: the header names no instrument; leave the file out")
    if not supported(instrument):
        raise DataError(f"{path}: instrument {instrument} is not supported (GNIRS is); leave the file out")
    if damage is not None:
        raise damage
    # The headers of all inputs stay in memory for the whole run.
    for cards in (headers.primary, *headers.extensions):
        if isinstance(cards, Cards):
            cards.share()
    found = tags(headers)
    return Input(path, headers, found, _kind(path, found))


def _headers_of_damaged(path: Path) -> Headers:
    """Headers of a file that is not complete: of a foreign instrument it would not be wanted in any case."""
    try:
        return read_headers(path)
    except DataError as err:
        if _looks_like_list(path):
            raise InputError(f"{path} is a text file, not FITS; if it lists files, write @{path}") from err
        raise


def _looks_like_list(path: Path) -> bool:
    """Whether a file that is not FITS was not meant to be one, but is text."""
    if any(suffix.lower() in _FITS_SUFFIXES for suffix in path.suffixes):
        return False
    with path.open("rb") as stream:
        start = stream.read(_LIST_START)
    return bool(start.strip()) and start.isascii() and b"\0" not in start


def _check_kinds(items: Sequence[Input], together: Callable[[frozenset[str]], frozenset[str]]) -> bool:
    """Whether several kinds are there, and may be."""
    first_of: dict[str, Input] = {}
    for item in items:
        first_of.setdefault(item.kind, item)
    leader = next((item for item in first_of.values() if set(first_of) <= together(item.tags)), None)
    if leader is not None and leader.kind != items[0].kind:
        raise InputError(
            f"a {leader.kind} must come first for this recipe: put {leader.path.name} before {items[0].path.name}"
        )
    if len(first_of) > 1 and leader is None:
        examples = ", ".join(f"{item.path.name} is a {kind}" for kind, item in first_of.items())
        raise InputError(f"the inputs do not belong in one run: {examples}; give one kind at a time")
    return len(first_of) > 1


def _distinct(items: Iterable[Input], warnings: list[str]) -> list[Input]:
    """Leave out raw frames that are there already under another name. Adds to `warnings`."""
    chosen: list[Input] = []
    by_name: dict[str, Input] = {}
    for item in items:
        # Names of products, skies and masters hang on the name of the raw frame.
        first = by_name.setdefault(item.root, item) if item.kind != "reduced image" else item
        if first is item:
            chosen.append(item)
        elif _exposure(first) == _exposure(item):
            warnings.append(f"{item.path} is the same exposure as {first.path}; used once")
        else:
            raise InputError(f"{first.path} and {item.path} are different frames of one name; rename one of them")
    return chosen


def _exposure(item: Input) -> tuple[Any, ...]:
    return item.describe("data_label"), item.describe("ut_datetime")


def _kind(path: Path, found: frozenset[str]) -> str:
    kind = next((word for tag, word in _CALIBRATIONS.items() if tag in found), None)
    if kind is not None and "PROCESSED" in found:
        raise InputError(f"{path}: this is a master {kind} already; give raw frames as input")
    if kind == "flat" and "IMAGE" not in found:
        raise InputError(f"{path}: a spectroscopic flat; only flats taken through the keyhole can be reduced")
    if kind in _COMMON:
        return str(kind)
    if "IMAGE" not in found:
        what = "a spectrum" if "SPECT" in found else "neither image, dark nor flat"
        raise InputError(f"{path}: the frame is {what}; only keyhole images, darks and flats can be reduced")
    return "science image" if "UNPREPARED" in found else "reduced image"


def _check_common(items: list[Input], kind: str, free: Iterable[str]) -> None:
    for name, words in _COMMON[kind]:
        if name not in free:
            _check_equal(items, name, words, f"{kind}s")
    if kind != "reduced image":
        _check_sizes(items, f"{kind}s")


def _check_array(items: list[Input]) -> None:
    """Frames of different kinds need nothing in common but the array that they were taken with."""
    _check_equal(items, "array_name", "array", "inputs")
    _check_sizes(items, "inputs")


def _check_sizes(items: list[Input], which: str) -> None:
    """Raw frames are compared pixel by pixel."""
    first = items[0]
    for item in items[1:]:
        if item.size != first.size:
            has, other = ("{} x {}".format(*one.size) for one in (first, item))
            raise InputError(
                f"the {which} differ in size: {first.path.name} has {has} pixels, {item.path.name} has {other}; "
                "leave out the frame that is not complete"
            )


def _check_equal(items: list[Input], name: str, words: str, which: str) -> None:
    first = items[0]
    reference = first.describe(name)
    for item in items[1:]:
        value = item.describe(name)
        if _differ(value, reference):
            unit = " s" if name == "exposure_time" else ""
            raise InputError(
                f"the {which} differ in {words}: {first.path.name} has {reference}{unit}, "
                f"{item.path.name} has {value}{unit}; give one {words} at a time"
            )


def _differ(value: Any, reference: Any) -> bool:
    if isinstance(value, float) and isinstance(reference, float):
        return abs(value - reference) > _TOLERANCE
    return bool(value != reference)
