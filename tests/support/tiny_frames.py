"""Small FITS files with the cards that calibrations and selections look at, written card by card."""

from __future__ import annotations

from pathlib import Path

BLOCK = 2880

SCIENCE = {
    "OBSERVAT": "Gemini-North",
    "TELESCOP": "Gemini-North",
    "INSTRUME": "GNIRS",
    "OBJECT": "GRB120116A",
    "OBSTYPE": "OBJECT",
    "OBSCLASS": "science",
    "OBSID": "GN-2011B-Q-34-155",
    "DATALAB": "GN-2011B-Q-34-155-006",
    "DATE-OBS": "2012-01-17",
    "UT": "05:41:49.5",
    "ARRAYID": "SN7638228.1",
    "LNRS": 16,
    "NDAVGS": 16,
    "DETBIAS": -0.3,
    "EXPTIME": 30.0,
    "COADDS": 2,
    "CAMERA": "ShortBlue_G5538",
    "FILTER1": "Open",
    "FILTER2": "J_G0517",
    "SLIT": "Acq_G5530",
    "DECKER": "Acq_G5531",
    "GRATING": "32/mmSB_G5533",
    "GRATWAVE": 1.65,
    "PRISM": "MIR_G5537",
    "ACQMIR": "In",
    "RAWPIREQ": "YES",
    "RAWGEMQA": "USABLE",
    "FRAME": "FK5",
    "RATRACK": 0.0,
    "DECTRACK": 0.0,
}

DARK = SCIENCE | {
    "OBJECT": "Dark",
    "OBSTYPE": "DARK",
    "OBSCLASS": "dayCal",
    "OBSID": "GN-CAL20120102-9",
    "DATALAB": "GN-CAL20120102-9-001",
    "DATE-OBS": "2012-01-02",
    "UT": "18:00:00.0",
    "EXPTIME": 60.0,
    "COADDS": 1,
    "FILTER1": "Dark_G0511",
    "ACQMIR": "Out",
    "SLIT": "0.30arcsec_G5530",
    "DECKER": "SCLong_G5531",
}

FLAT = SCIENCE | {
    "OBJECT": "GCALflat",
    "OBSTYPE": "FLAT",
    "OBSCLASS": "partnerCal",
    "DATALAB": "GN-2011B-Q-34-155-026",
    "UT": "07:00:00.0",
    "EXPTIME": 1.2,
    "COADDS": 1,
    "LNRS": 1,
    "NDAVGS": 1,
    "GCALLAMP": "IRhigh",
    "GCALSHUT": "OPEN",
}

_STAMPS = {"GEM-TLM": "2026-01-01T00:00:00", "PREPARE": "2026-01-01T00:00:00"}
MASTER_DARK = DARK | _STAMPS | {"PROCDARK": "2026-01-01T00:00:00"}
MASTER_FLAT = FLAT | _STAMPS | {"PROCFLAT": "2026-01-01T00:00:00"}
MASTER_BPM = FLAT | _STAMPS | {"PROCBPM": "2026-01-01T00:00:00", "OBSTYPE": "BPM", "OBJECT": "BPM"}


def write_frame(
    path: Path, cards: dict[str, object], *, pixel: int = 0, shape: tuple[int, int] = (3, 4), **changes: object
) -> Path:
    """Write a raw-like file: primary header and one image of 4 x 3 bytes, all of the value `pixel`."""
    ny, nx = shape
    header = cards | {name.replace("_", "-") if name == "DATE_OBS" else name: value for name, value in changes.items()}
    primary = {"SIMPLE": True, "BITPIX": 16, "NAXIS": 0, "EXTEND": True}
    primary |= {name: value for name, value in header.items() if value is not None}
    image = {"XTENSION": "IMAGE", "BITPIX": 8, "NAXIS": 2, "NAXIS1": nx, "NAXIS2": ny, "PCOUNT": 0, "GCOUNT": 1}
    data = bytes([pixel]) * (ny * nx)
    path.write_bytes(_block(primary) + _block(image) + data.ljust(BLOCK, b"\0"))
    return path


def _block(cards: dict[str, object]) -> bytes:
    lines = [f"{name:<8}= {_value(value)}".ljust(80) for name, value in cards.items()]
    text = "".join([*lines, "END".ljust(80)])
    return text.ljust(-(-len(text) // BLOCK) * BLOCK).encode("ascii")


def _value(value: object) -> str:
    if isinstance(value, bool):
        return f"{'T' if value else 'F':>20}"
    return f"'{value:<8}'" if isinstance(value, str) else f"{value!r:>20}"
