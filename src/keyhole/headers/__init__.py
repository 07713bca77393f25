"""What a frame is: its header cards, the tags they earn it, and what its descriptors say.

Pure functions of header cards, with a card reader of our own in place of `astropy.io.fits`: listing thousands
of files is a matter of a second. `Headers.extensions` are the SCIENCE extensions of a file, see there.
"""

from __future__ import annotations

from keyhole.headers.cards import Cards
from keyhole.headers.describe import (
    DESCRIPTORS,
    OTHER_METHODS,
    describe,
    describe_extension,
    descriptor_names,
    descriptor_options,
    meaning,
)
from keyhole.headers.header import Header, Setting
from keyhole.headers.model import Headers, HeaderValueError, MissingCardError, Section
from keyhole.headers.reader import Hdu, check_complete, read_hdus, read_headers
from keyhole.headers.registry import tags

__all__ = [
    "DESCRIPTORS",
    "OTHER_METHODS",
    "Cards",
    "Hdu",
    "Header",
    "HeaderValueError",
    "Headers",
    "MissingCardError",
    "Section",
    "Setting",
    "check_complete",
    "describe",
    "describe_extension",
    "descriptor_names",
    "descriptor_options",
    "meaning",
    "read_hdus",
    "read_headers",
    "tags",
]
