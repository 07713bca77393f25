"""The figures of several seeds of one night as one row of the table."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from keyhole.simulate.statistics import excess_scatter, robust_width, weighted_mean

__all__ = ["COLUMNS", "Column", "cells"]

Figures = dict[str, Any]
Cell = tuple[str, bool | None]

_BRIGHT, _JUDGED = 100.0, 30.0
_WRONG = 4.0
_FAINT, _LOW, _PULL, _LIMIT = (18.0, 20.0), (5.0, 20.0), (5.0, 100.0), (5.0, 10.0)


class Column(NamedTuple):
    """A column: heading, what is wanted, meaning, and the function that gives text and verdict of a cell."""

    heading: str
    wanted: str
    meaning: str
    cell: Callable[[Sequence[Figures]], Cell]


def cells(results: Sequence[Figures]) -> list[str]:
    """Give the cells of a row; what is out of its limits is bold."""
    row = []
    for column in COLUMNS:
        text, good = column.cell(results)
        row.append(f"**{text}**" if good is False else text)
    return row


def _number(value: float, digits: int, good: Callable[[float], bool] | None = None) -> Cell:
    if value is None or not math.isfinite(value):
        return "-", None
    return f"{value:.{digits}f}", None if good is None else good(round(value, digits))


def _values(results: Sequence[Figures], name: str) -> np.ndarray:
    """Give a figure of all seeds that have it."""
    return np.array([figures[name] for figures in results if figures.get(name) is not None], dtype=float)


def _mean(name: str, digits: int, good: Callable[[float], bool] | None = None) -> Callable[[Sequence[Figures]], Cell]:
    def cell(results: Sequence[Figures]) -> Cell:
        found = _values(results, name)
        return _number(float(found.mean()) if found.size else math.nan, digits, good)

    return cell


def _rms(name: str, digits: int, good: Callable[[float], bool] | None = None) -> Callable[[Sequence[Figures]], Cell]:
    def cell(results: Sequence[Figures]) -> Cell:
        found = _values(results, name)
        return _number(float(np.sqrt(np.mean(found**2))) if found.size else math.nan, digits, good)

    return cell


def _most(name: str, digits: int, good: Callable[[float], bool] | None = None) -> Callable[[Sequence[Figures]], Cell]:
    def cell(results: Sequence[Figures]) -> Cell:
        found = _values(results, name)
        return _number(float(found.max()) if found.size else math.nan, digits, good)

    return cell


def _stars(results: Sequence[Figures], flag: str) -> list[list[dict[str, float]]]:
    return [[star for star in figures["star_table"] if star[flag]] for figures in results]


def _snr(star: dict[str, float]) -> float:
    return star["expected"] / star["error"] if star["error"] else 0.0


def _within(value: float | None, limits: tuple[float, float]) -> bool:
    return value is not None and limits[0] <= value <= limits[1]


def _flux(results: Sequence[Figures]) -> Cell:
    ratios = np.array([star["ratio"] for stars in _stars(results, "judged") for star in stars])
    if not ratios.size:
        return "-", None
    middle = float(np.median(ratios))
    return f"{middle:.3f} ({ratios.size})", abs(middle - 1) <= 0.015


def _scatter(column: str) -> Callable[[Sequence[Figures]], Cell]:
    def cell(results: Sequence[Figures]) -> Cell:
        values, errors = [], []
        for stars in _stars(results, "clean"):
            bright = [star for star in stars if _snr(star) > _BRIGHT and star[column] is not None]
            if len(bright) < 3:
                continue
            middle = np.median([star[column] for star in bright])
            values += [star[column] / middle for star in bright]
            errors += [1 / _snr(star) for star in bright]
        percent = 100 * excess_scatter(values, errors) if values else math.nan
        return _number(percent, 2, lambda v: v <= 0.7)

    return cell


def _worst(results: Sequence[Figures]) -> Cell:
    found = [abs(star["ratio"] - 1) for stars in _stars(results, "clean") for star in stars if _snr(star) > _BRIGHT]
    return _number(100 * max(found) if found else math.nan, 1, lambda v: v <= 3.0)


def _faint(results: Sequence[Figures]) -> Cell:
    stars = [star for found in _stars(results, "small_clean") for star in found if _within(star["mag"], _FAINT)]
    if len(stars) < 3:
        return "-", None
    scatter = 100 * robust_width(np.array([star["small_ratio"] for star in stars]))
    noise = 100 * float(np.median([star["small_error"] for star in stars]))
    return f"{scatter:.1f} / {noise:.1f}", scatter <= max(3.0, 1.25 * noise)


def _low(results: Sequence[Figures]) -> Cell:
    stars = [
        star
        for found in _stars(results, "small_clean")
        for star in found
        if star["small_error"] and _within(1 / star["small_error"], _LOW)
    ]
    mean = weighted_mean([star["small_ratio"] for star in stars], [star["small_error"] for star in stars])
    if not mean.number:
        return "-", None
    good = abs(mean.value - 1) <= 0.015 + 2 * mean.error
    return f"{mean.value:.3f} ± {mean.error:.3f} ({mean.number})", good


def _pull(results: Sequence[Figures]) -> Cell:
    pulls = [
        (star["ratio"] - 1) * _snr(star)
        for stars in _stars(results, "clean")
        for star in stars
        if _within(_snr(star), _PULL)
    ]
    width = robust_width(np.array(pulls))
    return _number(width, 2, lambda v: abs(v - 1) <= 0.1 + 1.5 / math.sqrt(2 * len(pulls)))


def _catalogue_pull(results: Sequence[Figures]) -> Cell:
    pulls = [
        (star["catalogue_ratio"] - 1) / star["catalogue_error"]
        for stars in _stars(results, "small_clean")
        for star in stars
        if star["catalogue_error"] and _within(1 / star["catalogue_error"], _PULL) and not star["catalogue_flagged"]
    ]
    width = robust_width(np.array(pulls))
    return _number(width, 2, lambda v: abs(v - 1) <= 0.1 + 1.5 / math.sqrt(2 * len(pulls)))


def _unflagged_blends(results: Sequence[Figures]) -> Cell:
    """Stars whose catalogue flux is wrong and says nothing."""
    listed = [
        (abs(star["catalogue_ratio"] - 1) / star["catalogue_error"], star["catalogue_flagged"])
        for figures in results
        for star in figures["star_table"]
        if star["catalogue_error"] and _within(1 / star["catalogue_error"], _PULL)
    ]
    wrong = sum(pull > _WRONG and not flagged for pull, flagged in listed)
    return f"{wrong} of {len(listed)}" if listed else "-", None


def _complete(results: Sequence[Figures]) -> Cell:
    stars = [star for f in results for star in f["star_table"] if _within(star["snr"], _LIMIT)]
    if not stars:
        return "-", None
    return f"{np.mean([star['found'] for star in stars]):.2f} ({len(stars)})", None


def _aperture(radius: float) -> Callable[[Sequence[Figures]], Cell]:
    def cell(results: Sequence[Figures]) -> Cell:
        found = [a for f in results for a in f["apertures"] if a["radius"] == radius and a["ratio"] is not None]
        if not found:
            return "-", None
        number = np.array([a["number"] for a in found])
        mean = float(np.average([a["ratio"] for a in found], weights=number))
        # So many independent apertures tell the width that well.
        error = 1 / math.sqrt(2 * max(number.sum(), 1))
        return _number(mean, 2, lambda v: 0.95 - error <= v <= 1.08 + error)

    return cell


def _rays(results: Sequence[Figures]) -> Cell:
    left, number = int(_values(results, "rays_left").sum()), int(_values(results, "rays").sum())
    return f"{left} of {number}", left == 0


def _false(results: Sequence[Figures]) -> Cell:
    return f"{int(_values(results, 'false_detections').sum())}", None


def _saturated(results: Sequence[Figures]) -> Cell:
    flagged, kept, number = (int(_values(results, f"saturated_{what}").sum()) for what in ("flagged", "kept", "stars"))
    return f"{flagged}, {kept} of {number}" if number else "-", min(flagged, kept) == number


def _outliers(results: Sequence[Figures]) -> Cell:
    return f"{int(_values(results, 'outliers').sum())}", None


COLUMNS = (
    Column("flux", "1 ± 0.015", "measured over true light, median; (stars) with S/N > 30", _flux),
    Column(
        "scatter %",
        "≤ 0.7",
        "of stars with S/N > 100 beyond photon noise, against what their frames saw",
        _scatter("ratio"),
    ),
    Column("zero point %", "≤ 0.7", "the same against one zero point for the whole image", _scatter("clear_ratio")),
    Column("worst %", "≤ 3", "largest error of a star with S/N > 100", _worst),
    Column("18-20 mag %", "≤ 3", "scatter of the light in circles of the size of the seeing / median error", _faint),
    Column(
        "S/N 5-20",
        "1 ± 0.015",
        "mean flux ratio of stars with that S/N and its error, in circles at the true places, as stars that noise "
        "lifts above a threshold are too bright; (stars)",
        _low,
    ),
    Column("pull", "1", "width of (measured - true) / error, S/N 5-100, VAR and correlation factor", _pull),
    Column("catalogue pull", "1", "the same for FLUX_AUTO and FLUXERR_AUTO of sources without flags", _catalogue_pull),
    Column("wrong", "", "sources without flags whose FLUX_AUTO is wrong by more than 4 errors", _unflagged_blends),
    Column("saturated", "all", "true saturated stars that are flagged, and that are still in the image", _saturated),
    Column("found", "", "share of the stars with S/N 5-10 that OBJCAT lists; (stars)", _complete),
    Column("false", "", "sources that are no stars, and second sources of one star", _false),
    Column(
        "registration px",
        "≤ 0.03",
        "rms error of the frames against each other over the keyhole",
        _rms("registration_rms", 3, lambda v: v <= 0.03),
    ),
    Column(
        "position ″",
        "≤ 0.03",
        "rms of bright stars on the sky after a common shift",
        _rms("position_rms", 3, lambda v: v <= 0.03),
    ),
    Column(
        "WCS ″",
        "≤ 0.1",
        "largest error of the WCS over the keyhole after a common shift",
        _most("wcs_worst", 3, lambda v: v <= 0.1),
    ),
    Column("shift ″", "", "that common shift, rms over the seeds", _rms("wcs_absolute", 2)),
    Column(
        "background e⁻",
        "0 ± 0.4",
        "median of star-free pixels",
        _mean("background_electrons", 2, lambda v: abs(v) <= 0.4),
    ),
    Column("σ e⁻", "", "their scatter", _mean("background_sigma", 1)),
    Column("noise/√VAR", "0.97-1.04", "of pixels", _mean("noise_ratio", 2, lambda v: 0.97 <= v <= 1.04)),
    *(
        Column(
            f"r = {radius:g}",
            "0.95-1.08",
            "noise of empty circles of so many pixels over the predicted one",
            _aperture(radius),
        )
        for radius in (1.5, 3.0, 5.0, 9.0)
    ),
    Column("rays", "none", "cosmic rays above 5 σ left where three frames or more overlap", _rays),
    Column("outliers", "", "star-free pixels beyond 5 σ there", _outliers),
    Column(
        "dark VAR",
        "0.95-1.05",
        "variance of the master dark over the measured one",
        _mean("dark_variance", 2, lambda v: 0.95 <= v <= 1.05),
    ),
    Column("time s", "", "of the processor, science reduction", _mean("seconds", 1)),
)
