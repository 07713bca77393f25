"""Tables of the page: frames, figures, calibrations, parameters, steps, each cell as words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keyhole.report.verdict import GRADES, doubtful_frames
from keyhole.report.words import clipped, figure, number, plural, unit_word, with_error

__all__ = ["calibration_rows", "changed_parameters", "figure_rows", "frame_table", "step_rows"]

Figures = Mapping[str, Any]

# Figure of a frame, heading, explanation.
_FRAME_COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("mid_time", "UT", "Middle of the exposure"),
    ("fwhm", "Seeing", "Full width at half maximum of the stars"),
    ("transparency", "Transp.", "Light of the stars over that of the median frame"),
    ("sky_level", "Sky", "Level of the sky that was subtracted, per pixel"),
    ("sky_residual", "Sky left", "Level between the stars after the subtraction"),
    ("noise", "Noise", "Scatter of a pixel between the stars"),
    ("dx_measured", "dx", "Measured offset from the first frame"),
    ("dy_measured", "dy", "Measured offset from the first frame"),
    ("pointing_error", "Off by", "Distance from the commanded place"),
    ("registration_scatter", "Align.", "Scatter of the matched stars, per axis"),
    ("stars_matched", "Stars", "Stars that agree with the alignment"),
    ("cosmic_ray_pixels", "Cosmic", "Pixels hit by cosmic rays"),
    ("nonlinear_pixels", "Non-lin.", "Lit pixels that are non-linear or saturated"),
    ("weight", "Weight", "Part of this frame in the image"),
    ("level", "Level", "Median of the lit pixels over the electronic offset"),
)
_PLACES = ("dx_measured", "dy_measured")
_PERCENT = ("weight", "transparency")
_NUMBERS: tuple[tuple[str, str], ...] = (
    ("frames_combined", "Frames combined"),
    ("total_exposure", "Total exposure"),
    ("mid_time", "Mean mid-time"),
    ("fwhm", "Seeing (FWHM of the image)"),
    ("depth_rate", "5σ limit, point source"),
    ("depth_flux", "5σ limit in one exposure"),
    ("depth_radius", "… within radius"),
    ("depth_magnitude", "5σ limit, nominal zero point"),
    ("sources", "Sources"),
    ("background", "Background between stars"),
    ("pixel_noise", "Noise of a pixel (from VAR)"),
    ("noise", "Noise of a pixel (measured)"),
    ("correlation_factor", "Largest correlation factor"),
    ("illumination_amplitude", "Illumination correction, half range"),
    ("position_error", "Expected error of the position"),
    ("median", "Median"),
    ("spread", "Spread of the pixels"),
    ("frame_noise", "Noise of one frame"),
    ("lamp_level", "Level of the lamp"),
    ("lamp_off_frames", "Lamp-off frames"),
    ("hot_pixels", "Hot or cold pixels"),
    ("noisy_pixels", "Noisy pixels"),
    ("dead_pixels", "Dead or weak pixels"),
)


def frame_table(group: Figures) -> dict[str, Any] | None:
    """Columns and rows of the frames; columns that nothing stands in are left out."""
    frames = group.get("frames") or []
    if not frames:
        return None
    rows = [frame["figures"] | _derived(frame["figures"]) for frame in frames]
    given = [column for column in _FRAME_COLUMNS if any(_told(row, column[0]) is not None for row in rows)]
    if any(name == "sky_level" for name, *_ in given):
        given = [column for column in given if column[0] != "level"]
    made = group["makes"] != "image" and group["state"] in ("done", "kept")
    odd = {id(frame): why for frame, why in doubtful_frames(dict(group))}
    columns = [{"name": name, "head": head, "words": words, "unit": _unit(rows, name)} for name, head, words in given]
    return {
        "columns": columns,
        "rows": [
            {
                "file": clipped(frame["file"]),
                "name": clipped(str(frame["file"]).split(".fits")[0], 40),
                "used": frame["used"],
                "words": _use(frame, odd.get(id(frame)), master=made),
                "doubt": id(frame) in odd,
                "cells": [_cell(row, name) for name, *_ in given],
            }
            for frame, row in zip(frames, rows, strict=True)
        ],
    }


def _use(frame: Figures, why: str | None, *, master: bool) -> str:
    """What became of a frame; a master is made of all that it was given."""
    if frame["used"] is False:
        return clipped(why or "left out", 160)
    if frame["used"] or master:
        return clipped(f"used; {why}", 160) if why else "used"
    return "–"


def _derived(figures: Figures) -> dict[str, Any]:
    parts = [_told(figures, f"pointing_error_{axis}") for axis in ("dx", "dy")]
    if None in parts:
        return {}
    size = float((parts[0] ** 2 + parts[1] ** 2) ** 0.5)
    return {"pointing_error": {"value": size, "error": None, "unit": "arcsec"}}


def _told(figures: Figures, name: str) -> Any:
    return (figures.get(name) or {}).get("value")


def _unit(rows: list[dict[str, Any]], name: str) -> str:
    if name in _PERCENT:
        return "%"
    units = [row[name]["unit"] for row in rows if row.get(name)]
    return unit_word(units[0] or "") if units and name != "mid_time" else ""


def _cell(figures: Figures, name: str) -> dict[str, Any]:
    """Text of a cell, and the number or word it is sorted by."""
    told = figures.get(name) or {}
    value, error = told.get("value"), told.get("error")
    if name == "mid_time":
        return {"text": str(value)[11:19] if value else "–", "sort": str(value or "")}
    if name in _PERCENT and isinstance(value, (int, float)):
        value, error = 100 * value, None if error is None else 100 * error
    if name in _PLACES and isinstance(value, (int, float)):
        text = f"{value:.2f}".replace("-", "−")
    else:
        text = with_error(value, error) if isinstance(value, (int, float)) else number(value)
    return {"text": text, "sort": value if isinstance(value, (int, float)) else ""}


def figure_rows(group: Figures) -> list[tuple[str, str]]:
    """Names and values of the figures of a product."""
    figures = group.get("figures") or {}
    rows = []
    for name, words in _NUMBERS:
        if _told(figures, name) is None:
            continue
        if name == "illumination_amplitude":
            rows.append((words, f"{100 * figures[name]['value']:.1f} %"))
        elif name == "mid_time":
            rows.append((words, f"{str(figures[name]['value'])[:19].replace('T', ' ')} UT"))
        else:
            rows.append((words, figure(dict(figures), name)))
    return rows


def calibration_rows(group: Figures) -> list[dict[str, Any]]:
    """Masters that were used, or planned where nothing was reduced, with grade and reason."""
    rows = [
        {
            "kind": one["kind"],
            "file": clipped(one["file"] or "none", 100),
            "grade": one["grade"],
            "words": "" if one["grade"] is None else GRADES.get(one["grade"], ""),
            "reason": clipped(one["reason"] or "", 300),
            "frames": one.get("frames"),
        }
        for one in group.get("calibrations") or []
    ]
    if rows:
        return rows
    return [
        {
            "kind": kind,
            "file": clipped(need["path"] or (f"to be made: {need['group']}" if need["group"] else "none"), 100),
            "grade": need["grade"],
            "words": "" if need["grade"] is None else GRADES.get(need["grade"], ""),
            "reason": clipped(need["reason"] or "", 300),
            "frames": None,
        }
        for kind, need in (group.get("planned_calibrations") or {}).items()
    ]


def changed_parameters(group: Figures) -> list[tuple[str, str, str, str]]:
    """Step, parameter, value and default of each parameter that is not as usual."""
    return [
        (step["name"], name, clipped(change["value"], 80), clipped(change["default"], 80))
        for step in group.get("steps") or []
        for name, change in step.get("parameters", {}).items()
    ]


def step_rows(group: Figures) -> list[dict[str, Any]]:
    """Steps with their time and what they told."""
    notes: dict[str, list[str]] = {}
    for note in group.get("notes") or []:
        if note.get("step"):
            notes.setdefault(note["step"], []).append(clipped(note["text"], 200))
    rows = []
    for step in group.get("steps") or []:
        told = notes.pop(step["name"], [])
        more = [f"and {plural(len(told) - 3, 'more note')} in the log"] if len(told) > 3 else []
        seconds = step.get("seconds")
        rows.append(
            {
                "name": step["name"],
                "seconds": "–" if seconds is None else f"{seconds:.2f}",
                "frames": step.get("frames"),
                "notes": [*told[:3], *more],
                "skipped": step.get("skipped", False),
            }
        )
    return rows
