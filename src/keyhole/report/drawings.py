"""The plots of a group: frames over time, alignment, sky, noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from keyhole.report.plots import Mark, Plot, error_of, span_of, ticks, value_of
from keyhole.report.verdict import doubtful_frames
from keyhole.report.words import clipped, number, with_error

__all__ = ["Drawing", "alignment_plot", "growth_plot", "series_plots", "sky_plot"]

Figures = dict[str, Any]

# Name of a figure, heading, axis, least range, factor to the unit shown, symmetric about zero, level to draw.
_SERIES: tuple[tuple[str, str, str, float, float, bool, float | None], ...] = (
    ("fwhm", "Seeing", "FWHM (arcsec)", 0.1, 1.0, False, None),
    ("transparency", "Transparency", "relative to median", 0.1, 1.0, False, 1.0),
    ("sky_level", "Sky level", "electron / pixel", 10.0, 1.0, False, None),
    ("sky_residual", "Sky left after subtraction", "electron / pixel", 2.0, 1.0, True, 0.0),
    ("noise", "Noise of a pixel", "electron", 2.0, 1.0, False, None),
    ("weight", "Weight in the image", "per cent", 1.0, 100.0, False, None),
)
_ARROW_SHARE = 0.12
_FAR = 1.0
_WIDE = 1040
_DIVERGING = ((33, 102, 172), (247, 247, 247), (178, 84, 6))


class Drawing(NamedTuple):
    """A plot with its heading and what it says."""

    name: str
    title: str
    svg: str
    words: str


def series_plots(group: Figures, prefix: str) -> list[Drawing]:
    """Figures of the frames over time."""
    frames = [(when, frame) for frame in group.get("frames") or [] if (when := _hours(frame)) is not None]
    if len(frames) < 2:
        return []
    suspicious = {frame["file"]: why for frame, why in doubtful_frames(group)}
    day = math.floor(min(when for when, _ in frames) / 24) * 24
    drawn = []
    for row in _SERIES:
        marks = _marks(row, frames, suspicious, day)
        if len(marks) >= 2:
            drawn.append(_series(row, marks, prefix))
    return drawn


def _marks(
    row: tuple[Any, ...], frames: Sequence[tuple[float, Figures]], odd: dict[str, str], day: float
) -> list[Mark]:
    name, _, unit, _, factor, *_ = row
    marks = []
    for when, frame in frames:
        value, error = value_of(frame["figures"], name), error_of(frame["figures"], name)
        if value is None:
            continue
        error = None if error is None else error * factor
        told = f"{clipped(frame['file'], 60)}: {with_error(value * factor, error)} {unit}"
        why = odd.get(frame["file"])
        kind = "bad" if why else "good"
        marks.append(Mark(when - day, value * factor, error, f"{told} ({why})" if why else told, kind))
    return marks


def _series(row: tuple[Any, ...], marks: list[Mark], prefix: str) -> Drawing:
    name, title, unit, least, _, symmetric, level = row
    values = [mark.y + s * (mark.error or 0) for mark in marks for s in (-1, 1)]
    if level is not None:
        values.append(level)
    low, high = min(mark.y for mark in marks), max(mark.y for mark in marks)
    usual = sorted(mark.y for mark in marks)[len(marks) // 2]
    words = f"{number(low)} to {number(high)}, median {number(usual)} {unit}"
    xs = [mark.x for mark in marks]
    plot = Plot(
        title=title,
        description=f"{title} of {len(marks)} frames over time: {words}. The table of frames has the numbers.",
        x_label="UT",
        y_label=unit,
        x_range=span_of(xs, least=0.05, margin=0.04),
        y_range=span_of(values, least=least, zero=symmetric),
        x_words=_clock,
        x_ticks=_round_times(min(xs), max(xs)),
    )
    if level is not None:
        plot.level(level)
    plot.marks(marks)
    return Drawing(f"{prefix}-frames-{name.replace('_', '-')}", title, plot.svg(f"{prefix}-frames-{name}"), words)


def _hours(frame: Figures) -> float | None:
    told = (frame["figures"].get("mid_time") or {}).get("value")
    try:
        when = datetime.fromisoformat(str(told))
    except ValueError:
        return None
    return (when - datetime(2000, 1, 1)).total_seconds() / 3600


def _clock(hours: float) -> str:
    minutes = round(hours * 60)
    return f"{minutes // 60 % 24}:{minutes % 60:02d}"


def _round_times(low: float, high: float) -> list[float]:
    """Ticks at whole minutes."""
    minutes = (high - low) * 60
    step = next((s for s in (1, 2, 5, 10, 15, 20, 30, 60, 120, 240) if minutes / s <= 6), 480) / 60
    return [k * step for k in range(math.ceil(low / step), math.floor(high / step) + 1)] or [low]


def alignment_plot(group: Figures, prefix: str, scale: float | None) -> Drawing | None:
    """Where the frames lie, with arrows from the commanded to the measured place."""
    unit, factor = ("arcsec", scale) if scale else ("pixel", 1.0)
    rows = []
    for frame in group.get("frames") or []:
        sent = [value_of(frame["figures"], f"{axis}_commanded") for axis in ("dx", "dy")]
        found = [value_of(frame["figures"], f"{axis}_measured") for axis in ("dx", "dy")]
        error = [value_of(frame["figures"], f"pointing_error_{axis}") for axis in ("dx", "dy")]
        if sent[0] is not None and sent[1] is not None:
            rows.append(
                (frame, _pair(sent, factor), _pair(found, factor), _pair(error, factor / scale if scale else 1))
            )
    if len(rows) < 2:
        return None
    places = [found or sent for _, sent, found, _ in rows if sent]
    errors = [error for *_, error in rows if error]
    sizes = sorted(math.hypot(*error) for error in errors)
    xs, ys = [p[0] for p in places], [p[1] for p in places]
    width = max(max(xs) - min(xs), max(ys) - min(ys), 1.0)
    # Typical arrows decide the enlargement, not the longest one.
    usual = sizes[int(0.8 * (len(sizes) - 1))] if sizes else 0.0
    times = max((t for t in (1, 2, 5, 10, 20, 50, 100) if usual * t <= _ARROW_SHARE * width), default=1)
    ends = []
    for row, (x, y) in zip(rows, places, strict=True):
        dx, dy = row[3] or (0.0, 0.0)
        # A jump would run off the plot: it is drawn as long as it is, in another colour.
        own = 1 if math.hypot(dx, dy) > _FAR else times
        ends.append((x + own * dx, y + own * dy))
    return _draw_alignment(rows, places, ends, (unit, times, sizes), prefix)


def _pair(values: Sequence[float | None], factor: float) -> tuple[float, float] | None:
    x, y = values
    return None if x is None or y is None else (x * factor, y * factor)


def _draw_alignment(
    rows: Sequence[Any], places: Sequence[Any], ends: Sequence[Any], facts: tuple[str, int, list[float]], prefix: str
) -> Drawing:
    unit, times, sizes = facts
    every = [*places, *ends]
    x_range, y_range = (span_of([p[axis] for p in every], least=2.0, margin=0.06) for axis in (0, 1))
    width, left, right = _WIDE, 52, 10
    per_unit = (width - left - right) / (x_range[1] - x_range[0])
    room = min(max(per_unit * (y_range[1] - y_range[0]), 90), 420)
    reach, middle = room / per_unit / 2, (y_range[0] + y_range[1]) / 2
    words = (
        f"pointing errors: median {number(sizes[len(sizes) // 2], 2)}, largest {number(sizes[-1], 2)} {unit}"
        if sizes
        else "no frame was placed by its stars"
    )
    plot = Plot(
        title="Alignment",
        description=f"Places of {len(rows)} frames relative to the first; {words}.",
        x_label=f"offset in x ({unit})",
        y_label=f"y ({unit})",
        x_range=x_range,
        y_range=(middle - reach, middle + reach),
        width=width,
        height=round(room) + 46,
        left=left,
    )
    for (frame, _, found, error), place, end in zip(rows, places, ends, strict=True):
        name = clipped(frame["file"], 60)
        if error is None or found is None:
            plot.marks([Mark(place[0], place[1], None, f"{name}: by its commanded offset alone", "bad")])
            continue
        size = math.hypot(*error)
        told = f"{name}: {number(size, 2)} {unit} off its commanded place"
        plot.arrow(place, end, kind="far" if size > _FAR else "near", words=told)
    note = f"arrows: pointing errors, {times} times enlarged" if times > 1 else "arrows: pointing errors, to scale"
    if times > 1 and sizes and sizes[-1] > _FAR:
        note += f", those over {_FAR:g} {unit} in red and to scale"
    return Drawing(f"{prefix}-offsets", "Where the frames lie", plot.svg(f"{prefix}-offsets"), f"{words}; {note}")


def growth_plot(figures: Figures, prefix: str) -> Drawing | None:
    """Noise of the mean of the first N frames against independent frames."""
    number_, noise, expected = (
        (figures.get(f"growth_{name}") or {}).get("value") or [] for name in ("frames", "noise", "expected")
    )
    rows = [row for row in zip(number_, noise, expected, strict=False) if None not in row]
    if len(rows) < 2:
        return None
    ns, values, model = zip(*rows, strict=True)
    ratio = values[-1] / model[-1]
    words = (
        f"after {ns[-1]} frames {number(values[-1])} e⁻ a pixel, {number(ratio)} times what independent frames leave"
    )
    plot = Plot(
        title="Noise against the number of frames",
        description=f"Noise of the mean of the first N frames: {words}.",
        x_label="number of frames N",
        y_label="electron / pixel",
        x_range=(0.9, ns[-1] * 1.1),
        y_range=(min(*values, *model) * 0.85, max(*values, *model) * 1.15),
        log=True,
        width=460,
        height=250,
        x_ticks=[n for n in ticks((0.9, ns[-1] * 1.1), 6, log=True) if n >= 1],
    )
    plot.line(ns, model, words="independent frames: 1/√N, with the noise that each frame has")
    marks = [Mark(n, v, None, f"{n} frames: {number(v)} e⁻, expected {number(m)} e⁻") for n, v, m in rows]
    plot.marks(marks)
    return Drawing(f"{prefix}-growth", "Noise against 1/√N", plot.svg(f"{prefix}-growth"), words)


def sky_plot(figures: Figures, prefix: str, scale: float | None) -> Drawing | None:
    """Background of the image in patches."""
    columns = [(figures.get(f"tile_{name}") or {}).get("value") or [] for name in ("x", "y", "level", "error")]
    size, expected = value_of(figures, "tile_size"), value_of(figures, "tile_rms_expected")
    if not scale or not size or not expected or len(columns[0]) < 2:
        return None
    side, level = size / scale, value_of(figures, "background") or 0.0
    reach = max(3 * expected, sorted(abs(v - level) for v in columns[2])[-1] * 0.8)
    x0, y0 = min(columns[0]) - side / 2, min(columns[1]) - side / 2
    x1, y1 = max(columns[0]) + side / 2, max(columns[1]) + side / 2
    width, left = _WIDE, 52
    per_pixel = (width - left - 10) / (x1 - x0)
    words = (
        f"colour: {number(-reach, 2)} (blue) to +{number(reach, 2)} e⁻ (brown) about {number(level, 2)} e⁻; a patch is "
        f"{number(size, 2)}″ wide, its error {number(expected, 2)} e⁻; gaps hold too many stars"
    )
    plot = Plot(
        title="Background in patches",
        description=f"Background between the stars of the image in {len(columns[0])} patches; {words}.",
        x_label="x (pixel)",
        y_label="y (pixel)",
        x_range=(x0, x1),
        y_range=(y0, y1),
        width=width,
        height=round(min(max((y1 - y0) * per_pixel, 60), 420)) + 46,
        left=left,
    )
    for x, y, value, error in zip(*columns, strict=True):
        box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
        told = f"x {x:.0f}, y {y:.0f}: {with_error(value, error)} e⁻"
        plot.rectangle(box, _diverging((value - level) / reach), told)
    return Drawing(f"{prefix}-patches", "Background in patches", plot.svg(f"{prefix}-patches"), words)


def _diverging(value: float) -> str:
    """Blue over white to brown: told apart by all eyes."""
    share = min(1.0, abs(value))
    end, middle = _DIVERGING[2] if value > 0 else _DIVERGING[0], _DIVERGING[1]
    red, green, blue = (round(m + (e - m) * share) for m, e in zip(middle, end, strict=True))
    return f"#{red:02x}{green:02x}{blue:02x}"
