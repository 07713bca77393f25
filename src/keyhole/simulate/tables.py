"""Small tables as ECSV text, the form that astropy reads, without importing astropy."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import DataError, InputError

__all__ = ["Column", "TruthTable", "read_ecsv", "write_ecsv"]

Scalar = str | bool | int | float


class Column(NamedTuple):
    """A column: name, unit (empty for none), meaning, values."""

    name: str
    unit: str
    description: str
    values: Sequence[Scalar]


class TruthTable(NamedTuple):
    """A table that was read: columns by name, and its meta data."""

    columns: dict[str, NDArray[np.generic]]
    meta: dict[str, Scalar]


def write_ecsv(path: Path, columns: Sequence[Column], meta: Mapping[str, Scalar]) -> None:
    """Write a table.

    Parameters
    ----------
    path : Path
        File; replaced if it exists.
    columns : sequence of Column
        Of equal length.
    meta : mapping
        Goes into the header as one line.
    """
    lines = ["# %ECSV 1.0", "# ---", "# datatype:"]
    for column in columns:
        unit = f"unit: {column.unit}, " if column.unit else ""
        lines.append(
            f"# - {{name: {column.name}, {unit}datatype: {_datatype(column.values)}, "
            f"description: {json.dumps(column.description)}}}"
        )
    lines += [f"# meta: {json.dumps(dict(meta))}", "# schema: astropy-2.0"]
    lines.append(" ".join(column.name for column in columns))
    rows = zip(*(column.values for column in columns), strict=True)
    lines += [" ".join(_text(value) for value in row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read_ecsv(path: Path) -> TruthTable:
    """Read a table that `write_ecsv` wrote, or one of the same form.

    Parameters
    ----------
    path : Path
        File.

    Returns
    -------
    TruthTable
        Columns are float64, bool or str.

    Raises
    ------
    InputError
        There is no such file.
    DataError
        The file is not such a table.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; give the truth.ecsv of a simulated night.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as a table; give the truth.ecsv of a simulated night.") from error
    header = [line[1:].strip() for line in lines if line.startswith("#")]
    body = [line for line in lines if line.strip() and not line.startswith("#")]
    if not header or not header[0].startswith("%ECSV") or not body:
        raise DataError(f"{path} is not an ECSV table; give the truth.ecsv of a simulated night.")
    comma = any("delimiter: ','" in line for line in header)
    names, *rows = csv.reader(body, delimiter="," if comma else " ")
    if any(len(row) != len(names) for row in rows):
        raise DataError(f"{path} has rows that do not fit its {len(names)} columns; write the night again.")
    columns = {name: _parse([row[k] for row in rows]) for k, name in enumerate(names)}
    return TruthTable(columns, _meta(header))


def _meta(header: list[str]) -> dict[str, Scalar]:
    for line in header:
        if line.startswith("meta: {"):
            try:
                found = json.loads(line.removeprefix("meta: "))
            except ValueError:
                return {}
            return found if isinstance(found, dict) else {}
    return {}


def _parse(texts: list[str]) -> NDArray[np.generic]:
    if texts and set(texts) <= {"True", "False"}:
        return np.array([text == "True" for text in texts])
    try:
        return np.array([float(text) for text in texts])
    except ValueError:
        return np.array(texts)


def _datatype(values: Sequence[Scalar]) -> str:
    first = values[0] if values else 0.0
    names = {bool: "bool", int: "int64", str: "string"}
    return next((name for kind, name in names.items() if type(first) is kind), "float64")


def _text(value: Scalar) -> str:
    if isinstance(value, str):
        return f'"{value}"' if " " in value or not value else value
    if isinstance(value, bool | int):
        return str(value)
    return repr(float(value))
