"""What is measured: the rows of the table of speed, each with its bar."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from measuring import Sample, run
from speed_nights import Bench

__all__ = ["FLOOR", "NO_KEYHOLE", "USUAL", "Row", "rows"]

FLOOR = ("python", "-c", "import numpy, astropy.io.fits")
"""U: what any program of the field pays before it begins."""

_THREE = """
import keyhole
dark = keyhole.reduce("@darks.lis", parameters=dark_set)
flat = keyhole.reduce("@flats.lis", parameters=flat_set)
masters = {"dark": dark.outputs[0], "flat": flat.outputs[0]}
keyhole.reduce("@target.lis", calibrations=masters, parameters=target_set)
"""
USUAL = "dark_set = flat_set = target_set = {}\n"
NO_KEYHOLE = """
dark_set = {}
flat_set = {"addIllumMaskToDQ:skip_primitive": True}
# Without unlit pixels there is nothing to measure the electronics on.
target_set = {"addDQ:add_illum_mask": False, "cleanReadout:clean": "skip"}
"""


class Row(NamedTuple):
    """One line of the table.

    Attributes
    ----------
    name : str
        Short name, to choose the row by.
    title : str
        What is measured.
    measure : callable
        Runs it once.
    bar : float or None
        CPU in units of U that is not to be exceeded.
    prototype : float or None
        What a program without headers, database and provenance needs.
    megabytes : float or None
        Memory that is not to be exceeded.
    beyond : bool
        Whether one U, the floor itself, is taken off.
    long : bool
        Whether it takes minutes: measured once, and only when asked for.
    frames : int
        Science frames, for the time per frame.
    """

    name: str
    title: str
    measure: Callable[[], Sample]
    bar: float | None = None
    prototype: float | None = None
    megabytes: float | None = None
    beyond: bool = False
    long: bool = False
    frames: int = 0


def rows(bench: Bench) -> list[Row]:
    """All rows, in the order of the table; nothing is made or run before a row is measured."""
    return [*_reductions(bench), *_other_commands(bench), *_long_runs(bench)]


def _reductions(bench: Bench) -> list[Row]:
    three = _in_folder(bench, "three", bench.night, "python", "-c", USUAL + _THREE)
    return [
        Row("darks", "`reduce @darks60.lis`, 10 frames", _command(bench, "darks"), 2.5, 1.2),
        Row("flats", "`reduce @flats.lis`, 16 frames", _command(bench, "flats"), 3, 1.4),
        Row("science", "`reduce @target.lis`, 20 frames", _science(bench, 20), 4.5, 2, megabytes=300, frames=20),
        Row("three", "the three in one Python process, beyond U", three, 5, 2.2, beyond=True),
    ]


def _other_commands(bench: Bench) -> list[Row]:
    lit = _in_folder(bench, "lit", bench.lit_night, "python", "-c", NO_KEYHOLE + _THREE)
    return [
        Row("dataselect", "`dataselect`, 46 files", _selection(bench, bench.night), 0.7),
        Row("dataselect-5000", "`dataselect`, 5000 files", _selection(bench, bench.many_files), 4, 1.6),
        Row("caldb-list", "`caldb list`", _on_masters(bench, "caldb", "list"), 1),
        Row("caldb-add", "`caldb add`", _on_masters(bench, "caldb", "add", "DARK"), 1),
        Row("showpars", "`showpars` of one step", _on_masters(bench, "showpars", "DARK", "stackDarks"), 1),
        Row("help", "`reduce --help`", _on_masters(bench, "reduce", "--help"), 0.4),
        Row("tutorial", "whole tutorial session, each command once", lambda: _tutorial(bench), 16),
        Row("lit", "the night with every pixel lit, three in one process", lit, 11, 6),
    ]


def _long_runs(bench: Bench) -> list[Row]:
    stack = "stack of 500 frames of 1024 x 1024 with VAR and DQ"
    many = "`reduce @target.lis`, {} frames"
    return [
        Row("science-200", many.format(200), _science(bench, 200), megabytes=350, long=True, frames=200),
        Row("science-1000", many.format(1000), _science(bench, 1000), megabytes=400, long=True, frames=1000),
        Row("stack-500", stack, lambda: _stack(bench), 45, 31, megabytes=300, long=True),
    ]


def _in_folder(bench: Bench, name: str, night: Callable[[], Path], *words: str | Path) -> Callable[[], Sample]:
    """A command in a folder with the three lists of the tutorial."""

    def measure() -> Sample:
        folder = bench.folder(name)
        if not (folder / "target.lis").exists():
            bench.lists(night(), folder)
        return run(words, folder, bench.environ)

    return measure


def _command(bench: Bench, kind: str) -> Callable[[], Sample]:
    return _in_folder(bench, kind, bench.night, "reduce", f"@{kind}.lis")


def _science(bench: Bench, frames: int) -> Callable[[], Sample]:
    def measure() -> Sample:
        dark, _ = bench.masters()
        words = ("reduce", "@target.lis", "--user_cal", f"processed_dark:{dark}")
        return _in_folder(bench, f"science-{frames}", lambda: bench.night(frames), *words)()

    return measure


def _selection(bench: Bench, night: Callable[[], Path]) -> Callable[[], Sample]:
    def measure() -> Sample:
        files = sorted(night().glob("N*.fits"))
        words = ("dataselect", *files, "--tags", "DARK", "--expr=exposure_time==60", "-o", "chosen.lis")
        return run(words, bench.folder("selection"), bench.environ)

    return measure


def _on_masters(bench: Bench, *words: str) -> Callable[[], Sample]:
    """A command that only looks at the masters; the word DARK stands for the dark."""

    def measure() -> Sample:
        dark, _ = bench.masters()
        return run([str(dark) if word == "DARK" else word for word in words], dark.parent, bench.environ)

    return measure


def _tutorial(bench: Bench) -> Sample:
    """Every command of the tutorial, one after the other."""
    folder = bench.folder("tutorial")
    raw = sorted(bench.night().glob("N*.fits"))
    first = raw[-1]
    commands: Sequence[Sequence[str | Path]] = (
        ("caldb", "init", "-w"),
        ("dataselect", *raw, "--tags", "DARK", "-o", "alldarks.lis"),
        ("showd", "-d", "exposure_time", "@alldarks.lis"),
        ("dataselect", *raw, "--tags", "DARK", "--expr=exposure_time==60", "-o", "darks.lis"),
        ("dataselect", *raw, "--tags", "FLAT", "-o", "flats.lis"),
        ("dataselect", *raw, "--tags", "IMAGE", "--xtags", "FLAT", "-o", "target.lis"),
        ("typewalk", "-d", raw[0].parent),
        ("reduce", "@darks.lis"),
        ("caldb", "add", "{dark}"),
        ("reduce", "@flats.lis"),
        ("caldb", "add", "{flat}"),
        ("caldb", "list"),
        ("showrecipes", first),
        ("showpars", first, "associateSky"),
        ("reduce", "@target.lis", "--user_cal", "processed_dark:{dark}"),
    )
    total = Sample(0, 0, 0)
    settings = {**bench.environ, "HOME": str(_own_home(folder))}
    for words in commands:
        masters = {kind: next(folder.glob(f"*_{kind}.fits"), None) for kind in ("dark", "flat")}
        total += run([str(word).format(**masters) for word in words], folder, settings)
    return total


def _own_home(folder: Path) -> Path:
    """A home with a database of its own, as the session empties it."""
    home = folder / "home"
    if not home.exists():
        (home / ".geminidr").mkdir(parents=True)
        (folder / "database").mkdir()
        text = f"[calibs]\nstandalone = True\ndatabase_dir = {folder / 'database'}\n"
        (home / ".geminidr" / "rsys.cfg").write_text(text, encoding="utf-8")
    return home


def _stack(bench: Bench) -> Sample:
    """Ten flat frames with all planes under fifty names each."""
    folder = bench.folder("stack")
    sources = sorted(folder.glob("*_varAdded.fits"))
    if not sources:
        bench.lists(bench.night(), folder)
        steps = folder / "steps.py"
        steps.write_text(
            "def planes(p):\n"
            "    p.prepare()\n    p.addDQ(add_illum_mask=False)\n    p.ADUToElectrons()\n"
            "    p.addVAR(read_noise=True, poisson_noise=True, write_outputs=True)\n",
            encoding="utf-8",
        )
        few = (folder / "target.lis").read_text(encoding="utf-8").split()[:10]
        bench.call(folder, "reduce", *few, "-r", "steps.py:planes", "--ql")
        sources = sorted(folder.glob("*_varAdded.fits"))
    copies = bench.copies(sources, 500, folder)
    (folder / "all.lis").write_text("".join(f"{path}\n" for path in copies), encoding="utf-8")
    return run(("reduce", "@all.lis", "-r", "stackFrames", "--suffix", "_all"), folder, bench.environ)
