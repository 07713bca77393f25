"""What a figure means: the questions that an observer asks of an image, answered from the summary."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any, NamedTuple

from keyhole.report.plots import value_of
from keyhole.report.remedies import RANKS, Remedy, remedy_for
from keyhole.report.words import clipped, figure, number, plural, with_error

__all__ = ["GRADES", "Answer", "Warned", "answers_of", "doubtful_frames", "state_of", "warnings_of"]

GRADES = {0: "ideal", 1: "good", 2: "usable with a doubt", 3: "against the rule, by hand only", 4: "missing"}

# Scatter of the matched stars, pixels: what a good night gives, and what blurs a star.
_ALIGNED, _BLURRED = 0.1, 0.3
# Light in the depth circle that the unevenness of the sky may fake, in units of the 5-sigma limit.
_FLAT, _UNEVEN = 0.2, 0.5
# Noise over what independent frames would leave.
_WELL_AVERAGED, _POORLY_AVERAGED = 1.3, 1.7
# A frame worth a look: seeing over, transparency and weight below the median by such factors.
_WIDE, _DIM, _LIGHT = 1.3, 0.8, 0.5
_SKY_SIGMA, _SKY_SHARE = 6.0, 0.002

Figures = dict[str, Any]


class Answer(NamedTuple):
    """A question of the observer, answered.

    Attributes
    ----------
    question : str
    state : str
        ``good``, ``care``, ``bad`` or ``none`` (nothing is known).
    headline, detail : str
    anchor : str
        Part of the page that shows why.
    """

    question: str
    state: str
    headline: str
    detail: str
    anchor: str


class Warned(NamedTuple):
    """Caveats of one kind with what they mean: each text with the number of its cases."""

    rank: str
    texts: tuple[tuple[str, int], ...]
    meaning: str
    action: str


def warnings_of(group: Figures) -> list[Warned]:
    """Caveats of a group, the most serious first; those that mean the same stand together."""
    kinds: dict[Remedy, list[tuple[str, int]]] = {}
    for caveat in group.get("caveats") or []:
        told = (clipped(caveat["text"], 400), int(caveat.get("count") or 1))
        kinds.setdefault(remedy_for(str(caveat["text"])), []).append(told)
    found = [Warned(remedy.rank, tuple(texts), remedy.meaning, remedy.action) for remedy, texts in kinds.items()]
    return sorted(found, key=lambda one: -RANKS.index(one.rank))


def answers_of(group: Figures) -> list[Answer]:
    """The questions of an observer about an image."""
    first = [_aligned(group), _flat(group), _deep(group), _frames(group), _calibrated(group)]
    return [*first, _next(group, first)]


def state_of(group: Figures, answers: list[Answer]) -> tuple[str, str]:
    """State of a group and the words for it."""
    if group["state"] in ("failed", "skipped"):
        return "bad", "Failed" if group["state"] == "failed" else "Not made"
    if group["state"] in ("waiting", "running"):
        return "none", "Still to come" if group["state"] == "waiting" else "Being reduced"
    states = {answer.state for answer in answers[:5]}
    ranks = {one.rank for one in warnings_of(group)}
    if "bad" in states or "serious" in ranks:
        return "bad", "Do not use before a look"
    if "care" in states or "care" in ranks:
        return "care", "Usable with care"
    if "none" in states:
        return "care", "Usable, as far as is known"
    return "good", "Can be trusted"


def _used(group: Figures) -> list[Figures]:
    return [frame for frame in group.get("frames") or [] if frame["used"]]


def _values(frames: list[Figures], name: str) -> list[float]:
    return [value for frame in frames if (value := value_of(frame["figures"], name)) is not None]


def _aligned(group: Figures) -> Answer:
    question = "Is it aligned?"
    used = _used(group)
    methods = [str((frame["figures"].get("registration") or {}).get("value", "")) for frame in used]
    methods = [method for method in methods if method]
    if not methods:
        words = "One frame: nothing to align" if len(used) == 1 else "Not known"
        return Answer(question, "good" if len(used) == 1 else "none", words, "", "frames")
    lost, on_light = methods.count("offsets"), methods.count("light")
    scatter = _values(used, "registration_scatter")
    matched = _values(used, "stars_matched")
    usual = statistics.median(scatter) if scatter else math.nan
    detail = (
        f"stars scatter by {number(usual, 2)} px (worst frame {number(max(scatter), 2)} px), "
        f"{min(matched):.0f} to {max(matched):.0f} stars a frame"
        if scatter and matched
        else "no star tells how well"
    )
    jumps = _pointing_errors(used)
    if jumps:
        detail += f"; pointing errors up to {number(max(jumps), 2)}″, taken out"
    on_stars = len(methods) - lost - on_light
    head = f"{on_stars} of {plural(len(methods), 'frame')} on stars"
    if lost:
        return Answer(question, "bad", f"Not all: {lost} by the offsets alone", detail, "alignment")
    bad = not usual <= _BLURRED
    state = "bad" if bad and not on_light else "care" if on_light or usual > _ALIGNED else "good"
    return Answer(question, state, f"{'Yes' if state == 'good' else 'Roughly'}: {head}", detail, "alignment")


def _pointing_errors(frames: list[Figures]) -> list[float]:
    found = []
    for frame in frames:
        parts = [value_of(frame["figures"], f"pointing_error_{axis}") for axis in ("dx", "dy")]
        if parts[0] is not None and parts[1] is not None:
            found.append(math.hypot(parts[0], parts[1]))
    return found


def _flat(group: Figures) -> Answer:
    question, figures = "Is the sky flat?", group.get("figures") or {}
    rms, expected = value_of(figures, "tile_rms"), value_of(figures, "tile_rms_expected")
    if rms is None or expected is None:
        return Answer(question, "none", "Not known", "", "sky")
    excess = math.sqrt(max(0.0, rms**2 - expected**2))
    radius, depth = value_of(figures, "depth_radius"), value_of(figures, "depth_flux")
    scale = _scale(group)
    faked = excess * math.pi * (radius / scale) ** 2 / depth if radius and depth and scale else math.nan
    levels = _values(_used(group), "sky_level")
    share = f" ({100 * rms / statistics.median(levels):.2g} % of the sky)" if levels else ""
    detail = (
        f"level {figure(figures, 'background')}; patches of {number(value_of(figures, 'tile_size'), 2)}″ scatter by "
        f"{number(rms, 2)} e⁻{share}, the noise alone gives {number(expected, 2)} e⁻"
    )
    if math.isfinite(faked):
        detail += f"; without a local sky that is {100 * faked:.0f} % of the light of the faintest stars"
    state = "good" if not faked > _FLAT else "care" if faked < _UNEVEN else "bad"
    words = {"good": "Yes", "care": "Nearly", "bad": "No"}[state]
    return Answer(question, state, f"{words}: uneven by {number(excess, 2)} e⁻", detail, "sky")


def _scale(group: Figures) -> float | None:
    for preview in group.get("previews") or []:
        if preview.get("role") == "after" and isinstance(preview.get("pixel_scale"), (int, float)):
            return float(preview["pixel_scale"])
    return None


def _deep(group: Figures) -> Answer:
    question, figures = "How deep is it?", group.get("figures") or {}
    flux, rate = value_of(figures, "depth_flux"), value_of(figures, "depth_rate")
    magnitude = value_of(figures, "depth_magnitude")
    ratio = growth_ratio(figures)
    detail = f"{plural(int(value_of(figures, 'sources') or 0), 'source')}"
    if (exposure := value_of(figures, "total_exposure")) is not None:
        detail = f"{number(exposure)} s in all, seeing {figure(figures, 'fwhm')}, {detail}"
    if ratio is not None:
        detail += f"; the noise is {number(ratio, 3)} times what independent frames leave"
    if flux is None:
        words = f"{detail}; no star tells the seeing" if figures else ""
        return Answer(question, "none", "Not known", words, "noise")
    circle = f"light in a circle of radius {number(value_of(figures, 'depth_radius'), 2)}″"
    if magnitude is not None:
        head, how = f"5σ at {number(magnitude, 4)} mag", f"{circle}, nominal zero point"
    elif rate is not None:
        head, how = f"5σ at {number(rate)} e⁻/s", f"{circle}; no zero point is known, so no magnitude"
    else:
        head, how = f"5σ at {number(flux)} e⁻", f"{circle}; no zero point is known, so no magnitude"
    state = "good" if ratio is None or ratio < _WELL_AVERAGED else "care" if ratio < _POORLY_AVERAGED else "bad"
    return Answer(question, state, head, f"{how}; {detail}", "noise")


def growth_ratio(figures: Figures) -> float | None:
    """Noise of the mean of all frames over that of independent ones."""
    noise, expected = ((figures.get(f"growth_{name}") or {}).get("value") or [] for name in ("noise", "expected"))
    pairs = [(a, b) for a, b in zip(noise, expected, strict=False) if a and b]
    return pairs[-1][0] / pairs[-1][1] if pairs else None


def doubtful_frames(group: Figures) -> list[tuple[Figures, str]]:
    """Frames that were left out, and used ones that differ from the others, with the reason."""
    frames = group.get("frames") or []
    out = [
        (frame, f"left out: {frame['why'] or 'it is not in the image'}") for frame in frames if frame["used"] is False
    ]
    used = [frame for frame in frames if frame["used"]]
    usual = {
        name: statistics.median(values)
        for name in ("fwhm", "transparency", "weight")
        if (values := _values(used, name))
    }
    for frame in used:
        words = _oddities(frame["figures"], usual)
        if words:
            out.append((frame, "; ".join(words)))
    return out


def _oddities(figures: Figures, usual: dict[str, float]) -> list[str]:
    words = []
    seeing, clear, weight = (value_of(figures, name) for name in ("fwhm", "transparency", "weight"))
    if seeing is not None and "fwhm" in usual and seeing > _WIDE * usual["fwhm"]:
        words.append(f"seeing {number(seeing, 2)}″, usually {number(usual['fwhm'], 2)}″")
    if clear is not None and "transparency" in usual and clear < _DIM * usual["transparency"]:
        words.append(f"clouds, {100 * clear / usual['transparency']:.0f} % of the light")
    elif weight is not None and "weight" in usual and weight < _LIGHT * usual["weight"]:
        words.append(f"weight {100 * weight / usual['weight']:.0f} % of the usual")
    if (figures.get("registration") or {}).get("value") == "offsets":
        words.append("aligned by its offset alone")
    jump = _pointing_errors([{"figures": figures}])
    if jump and jump[0] > 1.0:
        words.append(f"{number(jump[0], 2)}″ off its place")
    left, sky = figures.get("sky_residual") or {}, value_of(figures, "sky_level")
    value, error = left.get("value"), left.get("error")
    if value is not None and error and sky and abs(value) > max(_SKY_SIGMA * error, _SKY_SHARE * abs(sky)):
        words.append(f"sky residual {with_error(value, error)} e⁻")
    return words


def _frames(group: Figures) -> Answer:
    question = "Which frame was bad?"
    frames, doubtful = group.get("frames") or [], doubtful_frames(group)
    out = [frame for frame, _ in doubtful if frame["used"] is False]
    blamed = _named_in(group) if group["state"] == "failed" else None
    if blamed:
        return Answer(question, "bad", f"{blamed} stopped the run", clipped(group["reason"], 300), "frames")
    if not any(frame["used"] for frame in frames):
        given = len(frames) or len(group.get("files") or [])
        return Answer(question, "none", "Not known", f"{plural(given, 'frame')} given", "frames")
    if not doubtful:
        widths = _values(_used(group), "fwhm")
        range_words = f"seeing {number(min(widths), 2)} to {number(max(widths), 2)}″" if widths else ""
        return Answer(question, "good", f"None: all {len(frames)} are used", range_words, "frames")
    names = [f"{clipped(Path(frame['file']).name.split('.')[0], 40)}: {why}" for frame, why in doubtful]
    detail = "; ".join(names[:4]) + (f"; and {len(names) - 4} more" if len(names) > 4 else "")
    head = f"{plural(len(out), 'frame')} left out" if out else f"{plural(len(doubtful), 'frame')} to look at"
    if out and len(doubtful) > len(out):
        head += f", {len(doubtful) - len(out)} to look at"
    state = "bad" if 2 * len(out) > len(frames) else "care"
    return Answer(question, state, head, detail, "frames")


def _calibrated(group: Figures) -> Answer:
    question = "Which dark and flat?"
    chosen = {one["kind"]: one for one in group.get("calibrations") or [] if one["kind"] in ("dark", "flat")}
    chosen = chosen or _planned(group)
    if not chosen:
        return Answer(question, "none", "Not known", "", "calibrations")
    grades = {kind: one["grade"] for kind, one in chosen.items() if one["grade"] is not None}
    worst = max(grades.values(), default=None)
    head = ", ".join(f"{kind} {GRADES.get(grade, grade)}" for kind, grade in grades.items()) or "given by hand"
    detail = "; ".join(
        f"{kind}: {clipped(one['file'] or 'none', 60)}, "
        f"{'grade ' + str(one['grade']) + ' of 4, ' if one['grade'] is not None else ''}{clipped(one['reason'], 200)}"
        for kind, one in chosen.items()
    )
    missing = any(one["file"] is None for one in chosen.values())
    state = "bad" if missing or (worst is not None and worst > 2) else "care" if worst == 2 else "good"
    return Answer(question, state, head[0].upper() + head[1:], detail, "calibrations")


def _planned(group: Figures) -> dict[str, Figures]:
    """What the plan had chosen, of a group that was never begun."""
    return {
        kind: {"file": need["path"] or need["group"], "grade": need["grade"], "reason": need["reason"]}
        for kind, need in (group.get("planned_calibrations") or {}).items()
        if kind in ("dark", "flat")
    }


def _remedy_of_failure(group: Figures) -> tuple[str, str]:
    """What helps where nothing was made."""
    again = "then run the same command again: what is done is kept"
    lacking = [kind for kind, need in (group.get("planned_calibrations") or {}).items() if need["grade"] == 4]
    if group["state"] == "skipped" and lacking:
        kinds = " and ".join(lacking)
        detail = f'take the {kinds}, or name a master in plan.toml ({lacking[0]} = "/path/to/master.fits"), {again}'
        return f"Find a {kinds}", f"{detail}. With --best-effort the image is made without, and marked."
    if group["state"] == "skipped":
        return "Mend the group it needs", f"see below why that one has no product, {again}."
    blamed = _named_in(group)
    if blamed:
        return f"Leave out {blamed}", f"delete its line in plan.toml, or get a fresh copy of the file, {again}."
    return "Mend the cause", f"see the reason above and the log, {again}."


def _named_in(group: Figures) -> str | None:
    """The frame that the reason of a failure names."""
    reason = str(group.get("reason") or "")
    roots = [Path(str(file)).name.split(".")[0] for file in group.get("files") or []]
    return next((clipped(root, 60) for root in roots if root and root in reason), None)


def _next(group: Figures, answers: list[Answer]) -> Answer:
    question = "What next?"
    if group["state"] in ("failed", "skipped"):
        head, detail = _remedy_of_failure(group)
        return Answer(question, "bad", head, detail, "answers")
    warned = warnings_of(group)
    urgent = [one for one in warned if one.rank == "serious"]
    if urgent:
        return Answer(question, "bad", "First of all", urgent[0].action, "warnings")
    stack = next((p["file"] for p in group.get("products") or [] if str(p["file"]).endswith("_stack.fits")), None)
    use = f"Measure on {clipped(stack, 80)}; errors by its table APNOISE." if stack else ""
    poor = next((a for a in answers if a.state == "bad"), None) or next((a for a in answers if a.state == "care"), None)
    advice = next((one.action for one in warned if one.rank == "care"), None)
    if poor is not None and poor.question.startswith("Which frame"):
        return Answer(
            question,
            "care",
            "Look at the frames named",
            f"{use} Leave out a bad frame: delete its line in plan.toml and run again.",
            "frames",
        )
    if advice is not None:
        return Answer(question, "care", "Measure, with one thing in mind", f"{use} {advice}", "warnings")
    return Answer(question, "good", "Measure", use or "Nothing needs to be done.", "products")
