"""The plan of a night: which frames belong together, what each group needs, and what serves it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from keyhole.calibration import Facts, Found, Grade, RawSet, Store, find, kind_of, raw_sets, rule_for
from keyhole.calibration.judging import Judgement, judge, preference_key
from keyhole.night.inventory import Inventory, LeftAside, RawFile

__all__ = ["CALIBRATION_WORDS", "Group", "Need", "NightPlan", "make_plan", "order_of"]

CALIBRATION_WORDS = ("dark", "flat", "bpm")
# A group cannot be reduced without these.
_REQUIRED = ("dark", "flat")
_MAKES = {"processed_dark": "dark", "processed_flat": "flat"}


@dataclass(frozen=True)
class Need:
    """A calibration that a group is reduced with.

    Attributes
    ----------
    group : str or None
        Name of the group that makes it.
    path : str or None
        A master that is there already. Neither: there is none.
    grade : int or None
        0 ideal to 3 against the rule, 4 missing; None where a person chose it and it was not judged.
    reason : str
        Why this one, or why none.
    """

    group: str | None = None
    path: str | None = None
    grade: int | None = None
    reason: str = ""

    @property
    def missing(self) -> bool:
        """Whether there is none."""
        return self.group is None and self.path is None


@dataclass(frozen=True)
class Group:
    """Frames that are reduced together.

    Attributes
    ----------
    name : str
        Unique in the plan; plain letters, digits and ``-_.+``.
    makes : str
        ``dark``, ``flat`` or ``image``.
    files : tuple of str
        Relative to the folder of raw frames, in the order in which they are given to the recipe.
    needs : mapping of str to Need
        ``dark``, ``flat``, ``bpm``: what each is; kinds that the recipe does not ask for are absent.
    summary : str
        What the frames are, in words.
    parameters : mapping of str to value
        ``name`` or ``step:name``, as for ``reduce -p``.
    """

    name: str
    makes: str
    files: tuple[str, ...]
    needs: Mapping[str, Need] = field(default_factory=dict)
    summary: str = ""
    parameters: Mapping[str, object] = field(default_factory=dict)

    @property
    def lacks(self) -> tuple[str, ...]:
        """Required calibrations that there are none of."""
        return tuple(kind for kind in _REQUIRED if kind in self.needs and self.needs[kind].missing)


@dataclass(frozen=True)
class NightPlan:
    """Everything that will be done with a folder.

    Attributes
    ----------
    raw : Path
        Folder of the raw frames, absolute.
    groups : tuple of Group
        Masters before what needs them.
    aside : tuple of LeftAside
        Files that are not used, with the reason.
    """

    raw: Path
    groups: tuple[Group, ...]
    aside: tuple[LeftAside, ...] = ()

    def group(self, name: str) -> Group:
        """The group of a name."""
        return next(group for group in self.groups if group.name == name)


def make_plan(inventory: Inventory, stores: Sequence[Store] = ()) -> NightPlan:
    """Group the frames of a folder and choose the calibrations of each group by the association rules.

    Parameters
    ----------
    inventory : Inventory
        The frames.
    stores : sequence of Store
        Databases of masters that are there already; a raw set of the folder is preferred where it is as good.

    Returns
    -------
    NightPlan
        Masters that can be made are made, needed or not: the next night may need them.
    """
    calibrations = [_named(frame) for frame in inventory.frames if frame.kind != "science image"]
    sets = raw_sets(calibrations)
    usable = [made for made in sets if made.caltype != "processed_flat" or made.lamp_off]
    science = _science_groups(inventory)
    wanted = [(_name_of_set(made, inventory), made.frames[0].night) for made in usable]
    wanted += [(_label(members), members[0].facts.night) for members in science]
    names = _unique(wanted)
    masters = dict(zip(names, usable, strict=False))
    aside = [*inventory.aside, *_unused(inventory, usable)]
    groups = [_group_of_set(name, made, stores) for name, made in masters.items()]
    for label, members in zip(names[len(usable) :], science, strict=True):
        groups.append(_group_of_science(label, members, masters, stores))
    return NightPlan(inventory.folder, tuple(groups), tuple(sorted(aside, key=lambda item: item.path)))


def order_of(groups: Iterable[Group]) -> list[Group]:
    """The groups with those that others need before them; otherwise as they stand.

    Raises
    ------
    ValueError
        Groups need each other in a circle.
    """
    waiting = list(groups)
    done: list[Group] = []
    while waiting:
        names = {group.name for group in waiting}
        ready = [group for group in waiting if not any(need.group in names for need in group.needs.values())]
        if not ready:
            raise ValueError(f"the groups {', '.join(sorted(names))} need each other")
        done += ready
        waiting = [group for group in waiting if group not in ready]
    return done


def _named(frame: RawFile) -> Facts:
    # The relative path takes the place of the name, which need not be unique below a folder.
    return replace(frame.facts, name=frame.path)


def _unused(inventory: Inventory, usable: Sequence[RawSet]) -> list[LeftAside]:
    used = {name for made in usable for name in made.names}
    reasons = {
        "dark": "a setting that the rules compare is not known from the header",
        "flat": "lamp-on and lamp-off flats with the same settings are not both there",
    }
    return [
        LeftAside(frame.path, reasons[frame.kind])
        for frame in inventory.frames
        if frame.kind in reasons and frame.path not in used
    ]


def _science_groups(inventory: Inventory) -> list[list[RawFile]]:
    groups: dict[tuple[object, ...], list[RawFile]] = {}
    for frame in inventory.frames:
        if frame.kind != "science image":
            continue
        facts = frame.facts
        key = (
            frame.target,
            facts.observation_id,
            facts.night,
            facts.array_name,
            facts.read_mode,
            facts.well_depth_setting,
            facts.camera,
            facts.filter_name,
            facts.focal_plane_mask,
            None if facts.exposure_time is None else round(facts.exposure_time, 2),
            facts.coadds,
        )
        groups.setdefault(key, []).append(frame)
    return list(groups.values())


def _group_of_set(name: str, made: RawSet, stores: Sequence[Store]) -> Group:
    first = made.frames[0]
    count = f"{len(made.frames)} darks" if not made.lamp_off else f"{len(made.frames)} on, {len(made.lamp_off)} off"
    words = [count, _exposure_words(first), first.read_mode]
    needs = {"bpm": need} if (need := _stored(first, "bpm", stores)) is not None else {}
    return Group(name, _MAKES[made.caltype], made.names, needs, "  ".join(word for word in words if word))


def _group_of_science(
    name: str, members: Sequence[RawFile], masters: Mapping[str, RawSet], stores: Sequence[Store]
) -> Group:
    first = members[0].facts
    words = [f"{len(members)} frames", members[0].filter, members[0].camera, _exposure_words(first)]
    needs = {kind: _choose(first, kind, masters, stores) for kind in _REQUIRED}
    if (mask := _stored(first, "bpm", stores)) is not None:
        needs["bpm"] = mask
    return Group(name, "image", tuple(frame.path for frame in members), needs, "  ".join(words))


def _choose(frame: Facts, kind: str, masters: Mapping[str, RawSet], stores: Sequence[Store]) -> Need:
    """The best master that can be made or is there; a raw set of the folder wins where they are equally good."""
    caltype = f"processed_{kind}"
    rule = rule_for(caltype, frame.instrument)
    if rule is None:
        return Need(grade=int(Grade.MISSING), reason=f"no rule for frames of {frame.instrument}")
    candidates: list[tuple[tuple[int, ...], int, Need]] = []
    misses: list[tuple[int, str, Judgement]] = []
    for name, made in masters.items():
        if made.caltype != caltype:
            continue
        # A master carries the header of its first frame.
        facts = replace(made.frames[0], caltype=caltype, processing_mode="sq")
        judgement = judge(rule, frame, facts)
        if judgement.passed:
            need = Need(group=name, grade=int(judgement.grade), reason=judgement.reason)
            candidates.append((preference_key(rule, frame, facts), 0, need))
        else:
            misses.append((len(judgement.failures), name, judgement))
    stored = find(stores, frame, caltype)
    if isinstance(stored, Found):
        need = Need(path=str(stored.path), grade=int(stored.grade), reason=stored.judgement.reason)
        candidates.append((preference_key(rule, frame, stored.entry.facts), 1, need))
    if candidates:
        # Grade and number of doubts come first in the key; equally good ones of the folder need nothing from elsewhere.
        return min(candidates, key=lambda candidate: (candidate[0][:2], candidate[1], candidate[0]))[2]
    return Need(grade=int(Grade.MISSING), reason=_nearest_miss(kind, misses, stored))


def _nearest_miss(kind: str, misses: Sequence[tuple[int, str, Judgement]], stored: object) -> str:
    if misses:
        _, name, judgement = min(misses, key=lambda miss: miss[0])
        return f"no {kind_of(kind)} fits; the nearest would be {name}: {judgement.reason}"
    told = getattr(stored, "explanation", None)
    if told is not None and told.total:
        return str(told.verdict)
    return f"there is no {kind_of(kind)}"


def _stored(frame: Facts, kind: str, stores: Sequence[Store]) -> Need | None:
    """A master of the databases that helps but is not required."""
    found = find(stores, frame, f"processed_{kind}") if stores else None
    if not isinstance(found, Found):
        return None
    return Need(path=str(found.path), grade=int(found.grade), reason=found.judgement.reason)


def _name_of_set(made: RawSet, inventory: Inventory) -> str:
    first = made.frames[0]
    if made.caltype == "processed_dark":
        words = ["dark", _exposure_words(first).replace(" ", ""), (first.read_mode or "").split(" Objects")[0]]
    else:
        raw = next(frame for frame in inventory.frames if frame.path == first.name)
        words = ["flat", raw.filter, raw.camera]
    return _plain("-".join(word for word in words if word))


def _label(members: Sequence[RawFile]) -> str:
    first = members[0]
    return _plain(f"{first.target}-{first.filter}")


def _exposure_words(facts: Facts) -> str:
    if facts.exposure_time is None:
        return ""
    if facts.coadds and facts.coadds > 1 and facts.exposure_per_coadd is not None:
        return f"{facts.coadds} x {facts.exposure_per_coadd:g} s"
    return f"{facts.exposure_time:g} s"


def _plain(text: str) -> str:
    """A name for files: what is no letter, digit or one of ``-_.+`` becomes an underscore."""
    plain = re.sub(r"[^A-Za-z0-9._+-]+", "_", text).strip("._-")
    return plain[:80] or "unnamed"


def _unique(wanted: Sequence[tuple[str, str | None]]) -> list[str]:
    """Names that are unique: with their night where that tells them apart, else with a number."""
    count = Counter(name for name, _ in wanted)
    dated = [name if count[name] == 1 or night is None else f"{name}-{night}" for name, night in wanted]
    seen: Counter[str] = Counter()
    unique = []
    for name in dated:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return unique
