"""The nights on which speed is measured: simulated once, kept in a folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from measuring import run
from night_plan import make_folder

__all__ = ["Bench"]


class Bench:
    """Folders of raw frames and of the runs on them.

    Parameters
    ----------
    nights : Path
        Folder of the simulated nights; those that are there are used again.
    work : Path
        Folder of the runs.
    """

    def __init__(self, nights: Path, work: Path) -> None:
        self.nights = nights.resolve()
        self.work = work.resolve()
        home = self.work / "home"
        (home / ".geminidr").mkdir(parents=True)
        self.environ = {"HOME": str(home), "COLUMNS": "100"}
        self.database = self.work / "database"
        self.database.mkdir()
        (home / ".geminidr" / "rsys.cfg").write_text(
            f"[calibs]\nstandalone = True\ndatabase_dir = {self.database}\n", encoding="utf-8"
        )

    def call(self, folder: Path, *words: str | Path) -> None:
        """Run a command that is not measured."""
        run(words, folder, self.environ)

    def folder(self, name: str) -> Path:
        """A folder for the runs of one row."""
        path = self.work / name
        path.mkdir(exist_ok=True)
        return path

    def night(self, frames: int = 20) -> Path:
        """The tutorial's night, with so many science frames."""
        path = self.nights / f"science-{frames}"
        self._once(path, lambda draft: self.call(self.nights, "keyhole", "simulate", draft, "--frames", str(frames)))
        return path

    def lit_night(self) -> Path:
        """The tutorial's night with every pixel lit."""
        path, usual, folder = self.nights / "lit", self.night(), self.folder("lists")

        def make(draft: Path) -> None:
            for name, choice in (("all.lis", ()), ("flats.lis", ("--tags", "FLAT"))):
                self.call(folder, "dataselect", *sorted(usual.glob("N*.fits")), *choice, "-o", name)
            # In a process of its own: the memory of this one counts for those that it starts.
            self.call(folder, "python", Path(__file__).with_name("lit_night.py"), draft, "@all.lis", "@flats.lis")

        self._once(path, make)
        return path

    def many_files(self, count: int = 5000) -> Path:
        """So many files with real headers; their pixels are holes."""
        path = self.nights / f"headers-{count}"
        seeds = sorted(self.night().glob("N*.fits"))[::6]
        self._once(path, lambda draft: make_folder(draft, seeds, count))
        return path

    def select(self, night: Path, *choice: str) -> list[Path]:
        """Frames of a night that ``dataselect`` chooses."""
        listed = self.folder("lists") / "chosen.lis"
        self.call(listed.parent, "dataselect", *sorted(night.glob("N*.fits")), *choice, "-o", listed)
        lines = listed.read_text(encoding="utf-8").split("\n")
        return [Path(line.strip()) for line in lines if line.strip() and not line.startswith("#")]

    def lists(self, night: Path, folder: Path) -> None:
        """Write the three lists of the tutorial."""
        for name, choice in (
            ("darks", ("--tags", "DARK", "--expr=exposure_time==60")),
            ("flats", ("--tags", "FLAT")),
            ("target", ("--tags", "IMAGE", "--xtags", "FLAT")),
        ):
            files = self.select(night, *choice)
            (folder / f"{name}.lis").write_text("".join(f"{file}\n" for file in files), encoding="utf-8")

    def masters(self) -> tuple[Path, Path]:
        """Dark and flat of the tutorial's night, registered in the database."""
        folder = self.folder("masters")
        if not list(folder.glob("*_flat.fits")):
            self.lists(self.night(), folder)
            self.call(folder, "caldb", "init")
            self.call(folder, "reduce", "@darks.lis")
            self.call(folder, "reduce", "@flats.lis")
            self.call(folder, "caldb", "add", *sorted(folder.glob("*_dark.fits")), *sorted(folder.glob("*_flat.fits")))
        return next(folder.glob("*_dark.fits")), next(folder.glob("*_flat.fits"))

    def copies(self, sources: Sequence[Path], count: int, folder: Path) -> list[Path]:
        """So many names for some files: links, as only the number of frames matters."""
        names = []
        for number in range(count):
            names.append(folder / f"copy{number:04d}.fits")
            if not names[-1].exists():
                os.link(sources[number % len(sources)], names[-1])
        return names

    def _once(self, path: Path, make: Callable[[Path], None]) -> None:
        if path.exists():
            return
        draft = path.with_name(f"{path.name}.part")
        shutil.rmtree(draft, ignore_errors=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        make(draft)
        draft.rename(path)
