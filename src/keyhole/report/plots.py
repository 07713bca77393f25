"""Plots as inline SVG: few marks, units on every axis, colours from the page's style, a text for each point."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any, NamedTuple

__all__ = ["Mark", "Plot", "ticks"]

_WIDTH, _HEIGHT = 380, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 10, 10, 36
_LABEL, _DIGIT = 24, 7  # the turned label with its distance from the axis, and a character of a number


class Mark(NamedTuple):
    """One measurement.

    Attributes
    ----------
    x, y : float
        In the units of the axes.
    error : float or None
        Of y, 1 sigma.
    words : str
        What a reader is told of it.
    kind : str
        ``good``, ``bad`` (a cross: not used or suspicious) or ``open``.
    """

    x: float
    y: float
    error: float | None = None
    words: str = ""
    kind: str = "good"


@dataclass
class Plot:
    """A plot in the making; `svg` is the result.

    Attributes
    ----------
    title, description : str
        Read aloud in place of the plot.
    x_label, y_label : str
        With units.
    x_range, y_range : pair of float
        Shown; made a little wider where nothing else is wanted.
    log : bool
        Both axes logarithmic.
    x_words : callable, optional
        Text of a tick.
    """

    title: str
    description: str
    x_label: str
    y_label: str
    x_range: tuple[float, float]
    y_range: tuple[float, float]
    log: bool = False
    width: int = _WIDTH
    height: int = _HEIGHT
    left: int = _LEFT
    x_words: Callable[[float], str] | None = None
    x_ticks: Sequence[float] | None = None
    _parts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        widest = max((len(_number(value)) for value in ticks(self.y_range, 5, log=self.log)), default=0)
        # Numbers must not run into the label beside them.
        self.left = max(self.left, _LABEL + widest * _DIGIT)

    def x(self, value: float) -> float:
        """Place on the page of a value."""
        return self.left + _share(value, self.x_range, log=self.log) * (self.width - self.left - _RIGHT)

    def y(self, value: float) -> float:
        """Place on the page of a value."""
        return self.height - _BOTTOM - _share(value, self.y_range, log=self.log) * (self.height - _TOP - _BOTTOM)

    def marks(self, marks: Sequence[Mark]) -> None:
        """Points with error bars; what lies beyond the axes is drawn at their ends."""
        for mark in marks:
            x, y = self.x(mark.x), self.y(min(max(mark.y, self.y_range[0]), self.y_range[1]))
            self._parts.append(f'<g class="mark {mark.kind}"><title>{escape(mark.words)}</title>')
            if mark.error:
                low, high = (
                    self.y(min(max(mark.y + sign * mark.error, self.y_range[0]), self.y_range[1])) for sign in (-1, 1)
                )
                self._parts.append(f'<path class="bar" d="M{x:.1f} {low:.1f}V{high:.1f}"/>')
            if mark.kind == "bad":
                self._parts.append(f'<path d="M{x - 3.5:.1f} {y - 3.5:.1f}l7 7m0 -7l-7 7"/></g>')
            else:
                self._parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3"/></g>')

    def line(self, xs: Sequence[float], ys: Sequence[float], *, kind: str = "model", words: str = "") -> None:
        """A line through points."""
        points = " ".join(f"{self.x(a):.1f},{self.y(b):.1f}" for a, b in zip(xs, ys, strict=True))
        title = f"<title>{escape(words)}</title>" if words else ""
        self._parts.append(f'<polyline class="{kind}" points="{points}">{title}</polyline>')

    def level(self, value: float, words: str = "") -> None:
        """A horizontal line over the whole width."""
        if self.y_range[0] <= value <= self.y_range[1]:
            self.line(self.x_range, (value, value), kind="level", words=words)

    def arrow(self, start: tuple[float, float], end: tuple[float, float], *, kind: str, words: str) -> None:
        """A vector from one point of the plane to another."""
        (x0, y0), (x1, y1) = ((self.x(x), self.y(y)) for x, y in (start, end))
        length = math.hypot(x1 - x0, y1 - y0)
        head = ""
        if length > 3:
            ux, uy = (x1 - x0) / length * 5, (y1 - y0) / length * 5
            head = (
                f"M{x1:.1f} {y1:.1f}L{x1 - ux - 0.6 * uy:.1f} {y1 - uy + 0.6 * ux:.1f}"
                f"M{x1:.1f} {y1:.1f}L{x1 - ux + 0.6 * uy:.1f} {y1 - uy - 0.6 * ux:.1f}"
            )
        shaft = f"M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}{head}"
        dot = f'<circle cx="{x0:.1f}" cy="{y0:.1f}" r="2.5"/>'
        self._parts.append(f'<g class="arrow {kind}"><title>{escape(words)}</title>{dot}<path d="{shaft}"/></g>')

    def rectangle(self, box: tuple[float, float, float, float], colour: str, words: str) -> None:
        """A filled square from x0, y0 to x1, y1."""
        x0, y0, x1, y1 = self.x(box[0]), self.y(box[1]), self.x(box[2]), self.y(box[3])
        shape = f'x="{x0:.1f}" y="{y1:.1f}" width="{x1 - x0:.1f}" height="{y0 - y1:.1f}"'
        self._parts.append(f'<rect class="tile" {shape} fill="{colour}"><title>{escape(words)}</title></rect>')

    def text(self, x: float, y: float, words: str, *, anchor: str = "start", kind: str = "note") -> None:
        """Words at a place of the plane."""
        place = f'x="{self.x(x):.1f}" y="{self.y(y):.1f}" text-anchor="{anchor}"'
        self._parts.append(f'<text class="{kind}" {place}>{escape(words)}</text>')

    def svg(self, name: str) -> str:
        """The plot; `name` is unique on the page."""
        head = (
            f'<svg class="plot" viewBox="0 0 {self.width} {self.height}" role="img" '
            f'aria-labelledby="{name}-t {name}-d"><title id="{name}-t">{escape(self.title)}</title>'
            f'<desc id="{name}-d">{escape(self.description)}</desc>'
        )
        return f"{head}{self._axes()}{''.join(self._parts)}</svg>"

    def _axes(self) -> str:
        x0, x1, y0, y1 = self.left, self.width - _RIGHT, self.height - _BOTTOM, _TOP
        parts = [f'<path class="axis" d="M{x0} {y1}V{y0}H{x1}"/>']
        for value in self.x_ticks or ticks(self.x_range, 6, log=self.log):
            x, words = self.x(value), self.x_words(value) if self.x_words else _number(value)
            parts.append(f'<path class="axis" d="M{x:.1f} {y0}v4"/>')
            parts.append(f'<text class="tick" x="{x:.1f}" y="{y0 + 15}" text-anchor="middle">{escape(words)}</text>')
        for value in ticks(self.y_range, 5, log=self.log):
            y = self.y(value)
            parts.append(f'<path class="grid" d="M{x0} {y:.1f}H{x1}"/>')
            parts.append(f'<text class="tick" x="{x0 - 6}" y="{y + 3.5:.1f}" text-anchor="end">{_number(value)}</text>')
        middle = (y0 + y1) / 2
        label = f'<text class="label" x="{(x0 + x1) / 2:.0f}" y="{self.height - 4}" text-anchor="middle">'
        parts.append(f"{label}{escape(self.x_label)}</text>")
        turned = f'<text class="label" transform="translate(11 {middle:.0f}) rotate(-90)" text-anchor="middle">'
        parts.append(f"{turned}{escape(self.y_label)}</text>")
        return "".join(parts)


def _share(value: float, span: tuple[float, float], *, log: bool) -> float:
    low, high = span
    if log:
        low, high, value = (math.log10(max(v, 1e-30)) for v in (low, high, value))
    return (value - low) / (high - low) if high > low else 0.5


def ticks(span: tuple[float, float], most: int, *, log: bool = False) -> list[float]:
    """Round values within a span.

    Parameters
    ----------
    span : pair of float
        Lowest and highest value.
    most : int
        About so many at most.
    log : bool
        1, 2, 5 times powers of ten, and more of them on a short axis.
    """
    low, high = span
    if not high > low:
        return [low]
    if log:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        # A short axis would have one or two of the usual ticks.
        steps = (1, 2, 5) if high / low > 8 else (1, 1.5, 2, 3, 4, 5, 6, 8)
        found = [m * 10.0**e for e in decades for m in steps]
        return [value for value in found if low * 0.999 <= value <= high * 1.001]
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _number(value: float) -> str:
    return f"{value:.6g}".replace("-", "−")


def span_of(values: Sequence[float], *, least: float, margin: float = 0.08, zero: bool = False) -> tuple[float, float]:
    """Range of an axis that holds values, at least so wide.

    Parameters
    ----------
    zero : bool
        Symmetric about 0.
    """
    low, high = min(values), max(values)
    if zero:
        reach = max(abs(low), abs(high), least / 2) * (1 + 2 * margin)
        return -reach, reach
    missing = max(0.0, least - (high - low)) / 2
    wide = (high - low + 2 * missing) * margin
    return low - missing - wide, high + missing + wide


def value_of(figures: dict[str, Any], name: str) -> float | None:
    """The number of a figure; None where it was not measured."""
    value = (figures.get(name) or {}).get("value")
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def error_of(figures: dict[str, Any], name: str) -> float | None:
    """The error of a figure; None where it is not known."""
    error = (figures.get(name) or {}).get("error")
    return float(error) if isinstance(error, (int, float)) else None
