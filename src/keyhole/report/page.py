"""A page from a summary: one self-contained file, made of the summary and the pictures beside it, of nothing else."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from keyhole.report.drawings import alignment_plot, growth_plot, series_plots, sky_plot
from keyhole.report.plots import value_of
from keyhole.report.tables import (
    calibration_rows,
    changed_parameters,
    figure_rows,
    frame_table,
    step_rows,
)
from keyhole.report.verdict import answers_of, state_of, warnings_of
from keyhole.report.words import CLOSE, clipped, number, plural, slug, unit_word

__all__ = ["Pictures", "page_of"]

Pictures = Callable[[str], bytes | None]
"""From the file of a picture, as the summary names it, to its content; None: it is not there."""

_TEMPLATES = Path(__file__).parent / "templates"
_SYMBOLS = {"good": "✓", "care": "!", "bad": "✗", "none": "·"}
_IDLE = ("waiting", "running")


def page_of(summary: Mapping[str, Any], pictures: Pictures, *, comparison: Mapping[str, Any] | None = None) -> str:
    """Draw the page.

    Parameters
    ----------
    summary : mapping
        As docs/night.md describes ``summary.json``.
    pictures : callable
        Gives the pictures that the summary names.
    comparison : mapping, optional
        See `keyhole.report.compare.compared`.

    Returns
    -------
    str
        HTML; nothing in it needs a network.
    """
    # Costs some 60 ms to import, and is needed here alone.
    from jinja2 import Environment, FileSystemLoader
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(clip=clipped, num=number, plural=plural, svg=Markup)
    names: set[str] = set()
    groups = [_group_view(group, pictures, _unique(slug(group["name"]), names)) for group in summary["groups"]]
    science = [view for view in groups if view["makes"] == "image"]
    return environment.get_template("page.html.j2").render(
        summary=summary,
        title=_title(summary),
        science=science,
        masters=[view for view in groups if view["makes"] != "image"],
        headline=_headline(groups),
        comparison=None if comparison is None else _comparison_view(comparison, pictures),
        symbols=_SYMBOLS,
        style=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),
        script=Markup((_TEMPLATES / "page.js").read_text(encoding="utf-8")),
        data=Markup(safe_json({"summary": summary, "comparison": comparison})),
    )


def safe_json(value: Any) -> str:
    """JSON that may stand inside a page: no character in it can end the element or begin markup."""
    text = json.dumps(value, default=str, allow_nan=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _title(summary: Mapping[str, Any]) -> str:
    return clipped(summary.get("title") or Path(str(summary.get("raw") or "night")).name, 80)


def _unique(name: str, taken: set[str]) -> str:
    found, k = name, 2
    while found in taken:
        found, k = f"{name}-{k}", k + 1
    taken.add(found)
    return found


def _headline(groups: list[dict[str, Any]]) -> str:
    """What became of the images, or of the masters where there are no images."""
    images = [view for view in groups if view["makes"] == "image"]
    words = {
        "good": "to be trusted",
        "care": "usable with care",
        "bad": "not to be used before a look",
        "lost": "not made",
        "none": "to come",
    }
    lost = ("failed", "skipped")
    states = ["lost" if view["data"]["state"] in lost else view["state"] for view in images or groups]
    told = ", ".join(f"{states.count(state)} {word}" for state, word in words.items() if state in states)
    return f"{plural(len(states), 'image' if images else 'group')}: {told}"


def _group_view(group: Mapping[str, Any], pictures: Pictures, anchor: str) -> dict[str, Any]:
    data = dict(group)
    image = data["makes"] == "image"
    answers = answers_of(data) if image else []
    state, words = state_of(data, answers) if image else _master_state(data)
    scale = next((p.get("pixel_scale") for p in data.get("previews") or [] if p.get("role") == "after"), None)
    scale = float(scale) if isinstance(scale, (int, float)) and scale > 0 else None
    figures = data.get("figures") or {}
    plots = [alignment_plot(data, anchor, scale), sky_plot(figures, anchor, scale), growth_plot(figures, anchor)]
    view = {
        "anchor": anchor,
        "name": clipped(data["name"], 80),
        "title": _group_title(data),
        "makes": data["makes"],
        "state": state,
        "state_words": words,
        "data": data,
        "facts": _facts(data),
        "answers": answers,
        "warnings": warnings_of(data),
        "viewer": _viewer(data, pictures),
        "series": series_plots(data, anchor) if image else [],
        "alignment": plots[0],
        "sky": plots[1],
        "growth": plots[2],
        "table": frame_table(data),
        "numbers": figure_rows(data),
        "calibrations": calibration_rows(data),
        "parameters": changed_parameters(data),
        "steps": step_rows(data),
        "products": [
            {"file": clipped(p["file"], 120), "href": quote(str(p["file"])), "md5": p["md5"]}
            for p in data.get("products") or []
        ],
        "progress": _progress(data),
    }
    there = {
        "answers": True,
        "warnings": view["warnings"] or data["state"] not in ("failed", "skipped"),
        "frames": view["table"],
        "alignment": view["alignment"],
        "sky": view["sky"],
        "noise": view["growth"] or view["numbers"],
        "calibrations": True,
        "products": True,
    }
    return view | {"anchors": [name for name, given in there.items() if given]}


def _facts(group: Mapping[str, Any]) -> str:
    """What everybody asks first: how many frames, how long, how sharp, how deep."""
    figures = group.get("figures") or {}
    words = []
    if (frames := value_of(figures, "frames_combined")) is not None:
        words.append(plural(int(frames), "frame"))
    for name, lead in (("total_exposure", ""), ("fwhm", "seeing "), ("depth_rate", "5σ limit ")):
        if (value := value_of(figures, name)) is not None:
            unit = unit_word(figures[name].get("unit") or "")
            words.append(f"{lead}{number(value)}{'' if unit in CLOSE else ' '}{unit}")
    return ", ".join(words)


def _group_title(group: Mapping[str, Any]) -> str:
    """Object, filter and camera of the first frame; the name of the group where these are not known."""
    for frame in group.get("frames") or []:
        told = {name: (frame["figures"].get(name) or {}).get("value") for name in ("object", "filter_name", "camera")}
        if told["object"]:
            camera = str(told["camera"] or "").split("_")[0]
            return clipped(", ".join(clipped(v, 60) for v in (told["object"], told["filter_name"], camera) if v), 120)
    return clipped(group["name"], 80)


def _master_state(group: Mapping[str, Any]) -> tuple[str, str]:
    if group["state"] in ("failed", "skipped"):
        return "bad", "Failed" if group["state"] == "failed" else "Not made"
    if group["state"] in _IDLE:
        return "none", "Still to come"
    ranks = {one.rank for one in warnings_of(dict(group))}
    return ("care", "Made, with a doubt") if ranks & {"care", "serious"} else ("good", "Made")


def _progress(group: Mapping[str, Any]) -> str:
    """How far a group came that has no product."""
    steps = [step["name"] for step in group.get("steps") or [] if step["name"] != group.get("failed_step")]
    if group["state"] not in ("failed", "skipped") or not group.get("failed_step"):
        return ""
    before = f"{plural(len(steps), 'step')} went well before ({', '.join(steps)})" if steps else "no step went before"
    return f"It ended in {group['failed_step']}; {before}"


def _viewer(group: Mapping[str, Any], pictures: Pictures) -> dict[str, Any] | None:
    """The pictures of a group as layers on one plane."""
    previews = group.get("previews") or []
    after = next((p for p in previews if p["role"] == "after"), None)
    before = next((p for p in previews if p["role"] == "before"), None)
    base = before if after is None else after
    if base is None:
        return None
    content = pictures(base["file"])
    if content is None:
        return None
    layers = [{"src": _data_uri(content), "words": _layer_words(group, base), "style": "left:0;top:0;width:100%"}]
    if after is not None and before is not None and after.get("first_frame"):
        other = pictures(before["file"])
        if other is not None:
            layers.append(
                {"src": _data_uri(other), "words": _layer_words(group, before), "style": _place(after, before)}
            )
    return viewer_facts(base) | {"layers": layers}


def viewer_facts(base: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader needs beside the pixels: compass, scale bar, stretch, position of a pixel."""
    scale = base.get("pixel_scale")
    width = base["width"] * base["binning"]
    length = _bar(width * scale) if isinstance(scale, (int, float)) and scale > 0 else None
    return {
        "width": base["width"],
        "height": base["height"],
        "bar": length,
        "bar_words": None if length is None else f"{length:g}″",
        "bar_percent": None if length is None else 100 * length / (width * scale),
        "compass": _compass(base.get("wcs")),
        "stretch": base["stretch"],
        "range": f"{number(base['black'])} to {number(base['white'])} {'e⁻' if base.get('unit') == 'electron' else ''}",
        "facts": safe_json({k: base.get(k) for k in ("x0", "y0", "binning", "width", "height", "wcs", "pixel_scale")}),
    }


def _layer_words(group: Mapping[str, Any], preview: Mapping[str, Any]) -> str:
    if preview["role"] == "before":
        return "Before: one frame, dark and flat corrected, with its sky"
    used = sum(bool(frame["used"]) for frame in group.get("frames") or [])
    return f"After: {clipped(preview['product'], 80)}" + (f", {plural(used, 'frame')}" if used else "")


def _place(after: Mapping[str, Any], before: Mapping[str, Any]) -> str:
    """Where the picture of the first frame lies on that of the stack, in per cent."""
    x, y = (after["first_frame"][axis] + before[f"{word}0"] for axis, word in enumerate("xy"))
    wide, high = after["width"] * after["binning"], after["height"] * after["binning"]
    own_wide, own_high = before["width"] * before["binning"], before["height"] * before["binning"]
    left = 100 * (x - after["x0"]) / wide
    top = 100 * (1 - (y - after["y0"] + own_high) / high)
    return f"left:{left:.4f}%;top:{top:.4f}%;width:{100 * own_wide / wide:.4f}%"


def _bar(extent: float) -> float:
    steps = [m * 10.0**e for e in range(-1, 3) for m in (1, 2, 5)]
    return max((s for s in steps if s <= extent / 6), default=steps[0])


def _compass(wcs: Mapping[str, float] | None) -> dict[str, float] | None:
    """Angles of north and east on the page, degrees clockwise from up."""
    if not wcs:
        return None
    a, b, c, d = (wcs[key] for key in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"))
    determinant = a * d - b * c
    if determinant == 0:
        return None
    north = (-b / determinant, a / determinant)
    east = (d / determinant, -c / determinant)
    return {name: math.degrees(math.atan2(x, y)) for name, (x, y) in (("north", north), ("east", east))}


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _comparison_view(comparison: Mapping[str, Any], pictures: Pictures) -> dict[str, Any]:
    layers = []
    for layer in comparison["layers"]:
        content = pictures(layer["file"])
        if content is not None:
            layers.append({"src": _data_uri(content), "words": clipped(layer["words"], 160), "style": layer["style"]})
    base = comparison["base"]
    viewer = viewer_facts(base) | {"layers": layers} if layers else None
    return {"viewer": viewer, "rows": comparison["rows"], "names": comparison["names"], "words": comparison["words"]}
