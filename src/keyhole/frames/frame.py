"""The frame that travels between steps: a small, picklable dataclass."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.headers import Header, Headers, describe, tags

__all__ = ["Frame", "Table", "Window"]


class Window(NamedTuple):
    """Where the pixels of a frame lie, if it holds a part of its image.

    Attributes
    ----------
    shape : (ny, nx)
        Of the whole image.
    origin : (y, x)
        Row and column of its pixel that is the first of the frame, 0-based.
    """

    shape: tuple[int, int]
    origin: tuple[int, int]


@dataclass
class Table:
    """Named columns of equal length, with units.

    Attributes
    ----------
    columns : dict of str to ndarray
        Column name to values; all of one length.
    units : dict of str to str
        Column name to FITS unit; a column without unit is absent.
    formats : dict of str to str
        Column name to FITS format, only where the width is fixed by contract (``A128``).
    """

    columns: dict[str, NDArray[Any]] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0


@dataclass
class Frame:
    """One science extension with its variance, data quality, further planes and tables.

    Attributes
    ----------
    name : str
        Current file name, without folder.
    primary, header : Header
        Primary header, and header of the science extension; one of astropy is taken over.
    data : (ny, nx) float32 ndarray
        Pixels, in the unit named by ``BUNIT`` of `header` (absent: ADU).
    variance : (ny, nx) float32 ndarray or None
        Variance of `data`, unit squared.
    mask : (ny, nx) uint16 ndarray or None
        Data-quality bits, 0 = good.
    planes : dict of str to ndarray
        Further pixel planes of the same shape, such as ``OBJMASK``.
    tables : dict of str to `Table`
        ``OBJCAT`` belongs to the extension; ``HISTORY`` and ``PROVENANCE`` to the file.
    path : Path or None
        Where the frame was read from.
    window : Window or None
        Where the planes lie in the image; None: they are the whole image. Cards of the header that tell of pixels
        (``CRPIX1``, ``DATASEC``) are always those of the whole image.
    """

    name: str
    primary: Header
    header: Header
    data: NDArray[np.float32]
    variance: NDArray[np.float32] | None = None
    mask: NDArray[np.uint16] | None = None
    planes: dict[str, NDArray[Any]] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)
    path: Path | None = None
    window: Window | None = None

    def __post_init__(self) -> None:
        self.primary, self.header = _own(self.primary), _own(self.header)

    @property
    def headers(self) -> Headers:
        """The cards in the form from which tags and descriptors are computed."""
        return Headers(primary=self.primary, extensions=(self.header,), name=self.name)

    @property
    def filename(self) -> str:
        """The name, as published recipes ask for it."""
        return self.name

    @property
    def phu(self) -> Header:
        """The primary header, as published recipes ask for it."""
        return self.primary

    @property
    def tags(self) -> frozenset[str]:
        """What the frame is."""
        return tags(self.headers)

    def describe(self, name: str, **options: Any) -> Any:
        """Answer a descriptor for the one extension of this frame (never a list)."""
        # The same as of extension 0 of all headers, which are those of this one.
        headers = Headers(primary=self.primary, extensions=(self.header,), name=self.name, single=True)
        return describe(headers, name, **options)

    def describe_file(self, name: str, **options: Any) -> Any:
        """Answer a descriptor for the file as a whole (a list where values belong to extensions)."""
        return describe(self.headers, name, **options)

    @property
    def root(self) -> str:
        """Name of the raw file without extension; product names start with it."""
        original = str(self.primary.get("ORIGNAME") or self.name)
        return strip_extension(original.rpartition("/")[2])

    def copy(self) -> Frame:
        """Copy headers and containers; pixel arrays are shared, as steps never change them in place."""
        return Frame(
            name=self.name,
            primary=self.primary.copy(),
            header=self.header.copy(),
            data=self.data,
            variance=self.variance,
            mask=self.mask,
            planes=dict(self.planes),
            tables={key: Table(dict(t.columns), dict(t.units), dict(t.formats)) for key, t in self.tables.items()},
            path=self.path,
            window=self.window,
        )

    def to_astrodata(self) -> Any:
        """Convert to `astrodata.AstroData`, the field's exchange form."""
        from keyhole.frames.exchange import to_astrodata  # astrodata costs 1-2 s of import

        return to_astrodata(self)

    @classmethod
    def from_astrodata(cls, ad: Any) -> Frame:
        """Convert from `astrodata.AstroData` with a single extension."""
        from keyhole.frames.exchange import from_astrodata

        return from_astrodata(ad)


def _own(header: Any) -> Header:
    """A header of this package; others, such as those of astropy, give their text."""
    if isinstance(header, Header):
        return header
    return Header(header.tostring(sep="", endcard=False, padding=False))


def strip_extension(name: str) -> str:
    """Remove ``.fits`` and a compression ending from a file name."""
    for ending in (".gz", ".bz2"):
        name = name.removesuffix(ending)
    return name.removesuffix(".fits")
