"""Read the instrument files; what they may hold is written here, once."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from keyhole.errors import SetupError
from keyhole.instruments.model import (
    Detector,
    ExpectedKeyhole,
    Instrument,
    KeyholeGeometry,
    NonLinearity,
    Observatory,
    Response,
)
from keyhole.instruments.schema import CheckedTable

__all__ = ["available", "instrument_from_toml", "load", "load_observatory"]

DETECTOR_COLUMNS = (
    "read_mode",
    "well_depth",
    "read_noise",
    "gain",
    "well",
    "linear_limit",
    "nonlinear_limit",
)
NONLINEARITY_COLUMNS = (
    "read_mode",
    "well_depth",
    "time_delta",
    "even_gamma",
    "even_eta",
    "odd_gamma",
    "odd_eta",
)
KEYHOLE_COLUMNS = ("camera", "wings", "centroid", "expected_pixels", "default_pixels", "default_box")
# Files of observatories lie beside those of instruments.
OBSERVATORIES = frozenset({"gemini"})
# Not importlib.resources, which costs more time to import than the files to read.
FOLDER = Path(__file__).parent


@cache
def available() -> tuple[str, ...]:
    """Names of the instruments that can be loaded, as in the header card INSTRUME, upper case."""
    stems = (path.stem for path in FOLDER.glob("*.toml"))
    return tuple(sorted(stem.upper() for stem in stems if stem not in OBSERVATORIES))


@cache
def load(name: str) -> Instrument:
    """Everything known about the instrument `name`.

    Parameters
    ----------
    name : str
        Instrument name as in the header card INSTRUME; upper and lower case are the same.

    Returns
    -------
    Instrument
        Immutable; the same object for each call.

    Raises
    ------
    SetupError
        The instrument is not known, or its file breaks the schema.
    """
    if name.upper() not in available():
        raise SetupError(f"instrument {name!r} is not known; known are {', '.join(available())}")
    return instrument_from_toml(_read(name), source=f"{name.lower()}.toml")


@cache
def load_observatory(name: str) -> Observatory:
    """Tables shared by the instruments of the observatory `name`.

    Raises
    ------
    SetupError
        The observatory is not known, or its file breaks the schema.
    """
    if name.lower() not in OBSERVATORIES:
        raise SetupError(f"observatory {name!r} is not known; known are {', '.join(sorted(OBSERVATORIES))}")
    top = CheckedTable(f"{name.lower()}.toml", "", _parse(_read(name), f"{name.lower()}.toml"))
    extinction = top.table("nominal_extinction")
    extinction.provenance()
    observatory = Observatory(
        name=top.table("observatory").text("name"),
        keywords=MappingProxyType(top.table("keywords").text_map()),
        filter_wavelengths=_values(top.table("filter_wavelength")),
        wavelength_bands=_values(top.table("wavelength_band")),
        extinctions=MappingProxyType(
            {site: table.number_map() for site, table in extinction.table("values").table_map().items()}
        ),
        utc_offsets=_values(top.table("utc_offset")),
    )
    top.close()
    return observatory


def instrument_from_toml(text: str, *, source: str) -> Instrument:
    """Build an instrument from the text of its file.

    Parameters
    ----------
    text : str
        TOML.
    source : str
        File name for messages.

    Raises
    ------
    SetupError
        The text is no TOML or breaks the schema; the message names table and key.
    """
    top = CheckedTable(source, "", _parse(text, source))
    head = top.table("instrument")
    rows, columns = (int(n) for n in head.numbers("raw_shape", 2))
    wells = top.table("well_depth")
    wells.provenance()
    orientation = top.table("orientation")
    orientation.provenance()
    instrument = Instrument(
        name=head.text("name"),
        shape=(rows, columns),
        raw_extensions=head.integer("raw_extensions"),
        observatory=load_observatory(head.text("observatory")),
        keywords=MappingProxyType(top.table("keywords").text_map()),
        keyhole=_keyhole(top.table("keyhole")),
        read_modes=_read_modes(top.table("read_mode")),
        well_tolerance=wells.positive("tolerance"),
        well_depths=MappingProxyType(wells.table("nominal").number_map()),
        detectors=_detectors(top.table("detector")),
        nonlinearities=_nonlinearities(top.table("nonlinearity")),
        pixel_scales=_values(top.table("pixel_scale")),
        x_axis_from_pa=orientation.number("x_axis_from_pa"),
        filter_wavelengths=_values(top.table("filter_wavelength")),
        zeropoints=_zeropoints(top.table("nominal_zeropoint")),
        dispersions=_dispersions(top.table("dispersion")),
        xd_orders=_xd_orders(top.table("xd_order")),
        expected_keyholes=_expected_keyholes(top.table("keyhole").table("expected")),
    )
    head.text("raw_unit")
    head.text("origin")
    for table in (top, head, wells, orientation):
        table.close()
    return instrument


def _read(name: str) -> str:
    return (FOLDER / f"{name.lower()}.toml").read_text(encoding="utf-8")


def _parse(text: str, source: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise SetupError(f"{source} is no TOML ({err}); correct the file or reinstall keyhole") from err


def _values(table: CheckedTable) -> Mapping[str, float]:
    table.provenance()
    values = table.table("values").number_map()
    table.close()
    return MappingProxyType(values)


def _read_modes(table: CheckedTable) -> Mapping[tuple[int, int], str]:
    table.provenance()
    modes = {}
    for row in table.rows(_columns(table, ("lnrs", "ndavgs", "name"))):
        table.checked(row)
        modes[row["lnrs"], row["ndavgs"]] = row["name"]
    table.close()
    return MappingProxyType(modes)


def _columns(table: CheckedTable, expected: tuple[str, ...]) -> tuple[str, ...]:
    """The column list of a table, which stands in the file for its readers and must be the one meant here."""
    found = table.texts("columns")
    if found != expected:
        raise table.error(f"has the columns {', '.join(found)} instead of {', '.join(expected)}")
    return found


def _array_rows(table: CheckedTable, columns: tuple[str, ...]) -> list[tuple[tuple[str, str, str], Any]]:
    """Rows of a table that is kept per detector array, keyed by array, read mode and well depth."""
    _columns(table, columns)
    units = table.table("units")
    for column in columns[2:]:
        units.text(column)
    units.close()
    found = []
    for array in table.tables("array"):
        array.text("origin")
        for row in array.rows(columns):
            array.checked(row)
            found += [((name, row["read_mode"], row["well_depth"]), row) for name in array.texts("names")]
        array.close()
    table.close()
    keys = [key for key, _ in found]
    for key in keys:
        if keys.count(key) > 1:
            raise table.error(f"has two rows for {' / '.join(key)}")
    return found


def _detectors(table: CheckedTable) -> Mapping[tuple[str, str, str], Detector]:
    detectors = {}
    for key, row in _array_rows(table, DETECTOR_COLUMNS):
        detector = Detector(**{column: float(row[column]) for column in DETECTOR_COLUMNS[2:]})
        if min(detector.read_noise, detector.gain, detector.well) <= 0 or not 0 < detector.linear_limit <= 1:
            raise table.error(f"has an impossible value for {' / '.join(key)}: {detector}")
        detectors[key] = detector
    return MappingProxyType(detectors)


def _nonlinearities(table: CheckedTable) -> Mapping[tuple[str, str, str], NonLinearity]:
    return MappingProxyType(
        {
            key: NonLinearity(
                time_delta=row["time_delta"],
                even=Response(row["even_gamma"], row["even_eta"]),
                odd=Response(row["odd_gamma"], row["odd_eta"]),
            )
            for key, row in _array_rows(table, NONLINEARITY_COLUMNS)
        }
    )


def _zeropoints(table: CheckedTable) -> Mapping[tuple[str, str], float]:
    table.provenance()
    rows = table.rows(_columns(table, ("camera", "filter", "zeropoint")))
    zeropoints = {(row["camera"], row["filter"]): float(table.checked(row)["zeropoint"]) for row in rows}
    table.close()
    return MappingProxyType(zeropoints)


def _dispersions(table: CheckedTable) -> Mapping[str, Mapping[str, Mapping[str, float]]]:
    table.provenance()
    values = {
        ruling: {length: orders.number_map() for length, orders in cameras.table_map().items()}
        for ruling, cameras in table.table("values").table_map().items()
    }
    table.close()
    return MappingProxyType(values)


def _xd_orders(table: CheckedTable) -> Mapping[int, str]:
    table.provenance()
    orders = {int(number): letter for number, letter in table.table("values").text_map().items()}
    table.close()
    return MappingProxyType(orders)


def _keyhole(table: CheckedTable) -> KeyholeGeometry:
    table.text("origin")
    table.raw("expected")
    special = {
        "red_camera_shift_px": table.numbers("red_camera_shift_px", 2),
        "detect_box_px": table.integer("detect_box_px"),
    }
    plain = {item.name: table.number(item.name) for item in fields(KeyholeGeometry) if item.name not in special}
    table.close()
    return KeyholeGeometry(**{**plain, **special})  # type: ignore[arg-type]  # built from the field list


def _expected_keyholes(table: CheckedTable) -> Mapping[tuple[str, bool], ExpectedKeyhole]:
    table.provenance()
    expected = {}
    for row in table.rows(_columns(table, KEYHOLE_COLUMNS)):
        x, y = table.as_numbers("centroid", row["centroid"], 2)
        xmin, xmax, ymin, ymax = (int(n) for n in table.as_numbers("default_box", row["default_box"], 4))
        expected[row["camera"], row["wings"]] = ExpectedKeyhole(
            centroid=(x, y),
            expected_pixels=table.as_integer("expected_pixels", row["expected_pixels"]),
            default_pixels=table.as_integer("default_pixels", row["default_pixels"]),
            default_box=(xmin, xmax, ymin, ymax),
        )
    table.close()
    return MappingProxyType(expected)
