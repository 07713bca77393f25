"""Small headers for the tests of this folder."""

from __future__ import annotations

import pytest

from keyhole.headers import Headers

SCIENCE = {
    "INSTRUME": "GNIRS",
    "OBSERVAT": "Gemini-North",
    "TELESCOP": "Gemini-North",
    "OBSTYPE": "OBJECT",
    "OBJECT": "a star",
    "OBSID": "GN-2020A-Q-1-2",
    "DATALAB": "GN-2020A-Q-1-2-003",
    "ACQMIR": "In",
    "SLIT": "Acq_G5530",
    "DECKER": "Acq_G5531",
    "GRATING": "32/mmSB_G5533",
    "PRISM": "MIR_G5537",
    "CAMERA": "ShortBlue_G5540",
    "FILTER1": "Open",
    "FILTER2": "J_G0517",
    "GRATWAVE": 1.6499,
    "GRATORD": 3,
    "FRAME": "FK5",
    "TRKFRAME": "FK5",
    "RATRACK": 0.0,
    "DECTRACK": 0.0,
    "AIRMASS": 1.2,
    "ARRAYID": "SN7638228.1.2",
    "LNRS": 16,
    "NDAVGS": 16,
    "DETBIAS": -0.3,
    "COADDS": 2,
    "EXPTIME": 30.0,
    "DATE-OBS": "2020-03-01",
    "UT": "12:00:00.5",
    "RA": 100.0,
    "DEC": 60.0,
    "PA": 350.0,
    "POFFSET": 1.517,
    "QOFFSET": -3.034,
    "INPORT": 3,
    "AOFOLD": "park-pos.",
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 100.001,
    "CRVAL2": 60.001,
}
RAW_EXTENSION = {"XTENSION": "IMAGE", "NAXIS": 2, "NAXIS1": 1024, "NAXIS2": 1022}


@pytest.fixture
def frame():
    """Make the headers of a GNIRS image; keywords change cards (None removes one, _ means -)."""

    def make(cards=None, *, extensions=({},), name="N20200301S0001.fits", **changes):
        changed = {keyword.replace("_", "-"): value for keyword, value in changes.items()}
        primary = {**SCIENCE, **changed, **(cards or {})}
        primary = {keyword: value for keyword, value in primary.items() if value is not None}
        return Headers(primary, tuple({**RAW_EXTENSION, **ext} for ext in extensions), name)

    return make


@pytest.fixture
def prepared(frame):
    """Make the headers of a prepared frame; keywords are cards of its extension."""

    def make(cards=None, **extension):
        stamps = {"GEM-TLM": "2020-03-02T00:00:00", "PREPARE": "2020-03-02T00:00:00"}
        return frame({**stamps, **(cards or {})}, extensions=(extension,))

    return make


def block(cards: list[str]) -> bytes:
    """Header block of card images, END added."""
    text = "".join(card.ljust(80)[:80] for card in [*cards, "END"])
    return text.encode("latin-1").ljust(-(-len(text) // 2880) * 2880)


@pytest.fixture
def fits_bytes():
    """Make a FITS file of a primary header and extensions, each cards and a number of data bytes."""

    def make(primary=(), *extensions):
        content = block(["SIMPLE  = T", "BITPIX  = 16", "NAXIS   = 0", *primary])
        for kind, cards, nx in extensions:
            head = [f"XTENSION= '{kind}'", "BITPIX  = 8", "NAXIS   = 1", f"NAXIS1  = {nx}", "PCOUNT  = 0"]
            content += block([*head, "GCOUNT  = 1", *cards]) + bytes(-(-nx // 2880) * 2880)
        return content

    return make
