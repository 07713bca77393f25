"""What a run is asked for, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keyhole.calibration import Config, Grade, UserCals, kind_of
from keyhole.recipes import Recipe, mode_defaults, parameter_set

__all__ = ["DEFAULT_MEMORY", "Association", "Request", "Result"]

DEFAULT_MEMORY = 352
"""Megabytes of frames in memory, if nothing else is asked for."""


@dataclass(frozen=True)
class Request:
    """What to reduce, and how.

    Attributes
    ----------
    files : sequence of path
        Inputs; the first gives the name of the product.
    recipe : str or callable
        Name of a recipe or a step, a function in a file (``file.py:name``), or a function of one argument;
        ``_default``: chosen by what the frames are.
    mode : {'sq', 'ql', 'qa'}
        ``sq`` stops where a calibration is missing, the others go on and say so.
    settings : mapping
        ``name`` or ``step:name`` to value; of two that concern the same parameter the later wins.
    user_cals : UserCals
        Masters given by hand.
    suffix : str or None
        Ending of the output names in place of the recipe's.
    config : Config or None
        Calibration databases; None: none is asked.
    output_dir : Path
        Where products go.
    notes : tuple of str
        Warnings from reading the request itself, told when the run starts.
    best_effort : bool
        Go on where a required master is missing, and mark the products.
    parameter_set : str or None
        Name of a set of parameters, see `keyhole.recipes.sets`; recipe and `settings` win over it.
    details : bool
        Also measure and draw what a report shows: events `Metric` and `PreviewDrawn`.
    memory : int
        Megabytes of frames that are held in memory; what is more waits on disk, in files without a name in
        `output_dir`. The products are the same.
    """

    files: Sequence[str | Path]
    recipe: str | Recipe = "_default"
    mode: str = "sq"
    settings: Mapping[str, Any] = field(default_factory=dict)
    user_cals: UserCals = field(default_factory=lambda: UserCals({}))
    suffix: str | None = None
    config: Config | None = None
    output_dir: Path = field(default_factory=Path)
    notes: tuple[str, ...] = ()
    best_effort: bool = False
    parameter_set: str | None = None
    details: bool = False
    memory: int = DEFAULT_MEMORY

    def defaults(self, tags: frozenset[str], step: str) -> Mapping[str, Any]:
        """Values of a step that differ from its own defaults: those of the kind of frame, then of the set."""
        return {**mode_defaults(tags, step), **parameter_set(self.parameter_set).get(step, {})}


@dataclass(frozen=True)
class Association:
    """One master and the inputs it serves.

    Attributes
    ----------
    kind : str
        ``processed_dark`` and the like.
    path : Path or None
        The master; None: none was found and the run goes on without.
    origin : str
        Where it comes from.
    reason : str
        Why this one.
    frames : tuple of str
        Paths of the inputs.
    warnings : tuple of str
        Where it does not meet the rule in full.
    grade : Grade or None
        How well it serves the inputs, the worst of them; None where nothing is required or no rule is known.
    md5 : str or None
        MD5 sum of the file, where it was just compared with that of the database.
    """

    kind: str
    path: Path | None
    origin: str
    reason: str
    frames: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    grade: Grade | None = None
    md5: str | None = field(default=None, compare=False)

    @property
    def sentence(self) -> str:
        """Kind, name, grade and reason, for headers and histories."""
        kind = kind_of(self.kind)
        if self.path is None:
            return f"no {kind}: {self.reason}"
        if self.grade is None:
            return f"{kind} {self.path.name}: {self.origin}"
        return f"{kind} {self.path.name}: grade {self.grade:d} ({self.grade.words}): {self.reason}"


@dataclass(frozen=True)
class Result:
    """What a run made.

    Attributes
    ----------
    outputs : list of Path
        Final products, the ones a user would go on with.
    written : list of Path
        All files written.
    caveats : dict of str to int
        Weaker ways taken, with the number of cases.
    calibrations : list of Association
        Masters used and where from.
    seconds : float
        Wall time.
    """

    outputs: list[Path]
    written: list[Path]
    caveats: dict[str, int]
    calibrations: list[Association]
    seconds: float
