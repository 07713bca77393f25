"""What an earlier run of the same night has done already: known by checksums, not by dates."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from keyhole import __version__
from keyhole.errors import SetupError
from keyhole.frames import file_md5
from keyhole.night.work import Job, Outcome

__all__ = ["Memory"]

_FOLDER = ".keyhole"


class Memory:
    """The hidden folder of a run, in the folder of its products.

    Parameters
    ----------
    out : Path
        Folder of the products.
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.folder = out / _FOLDER
        self._sums: dict[Path, str] = {}

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of this folder.

        Raises
        ------
        SetupError
            Another run works there, or the folder cannot be made.
        """
        try:
            (self.folder / "done").mkdir(parents=True, exist_ok=True)
            lock = (self.folder / "lock").open("a")
        except OSError as error:
            raise SetupError(
                f"{self.out} cannot be written ({error.strerror}); choose another folder with -o"
            ) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise SetupError(
                    f"another run works in {self.out}; wait for it, or choose another folder with -o"
                ) from error
            yield

    def key_of(self, job: Job) -> str:
        """What decides on the products of a job: inputs, masters, parameters and the program.

        Raises
        ------
        OSError
            A file cannot be read.
        """
        told = {
            "version": __version__,
            "makes": job.makes,
            "files": [(Path(name).name, self.checksum(Path(name))) for name in job.files],
            "calibrations": {kind: self.checksum(Path(name)) for kind, name in sorted(job.calibrations.items())},
            "parameters": {str(key): value for key, value in sorted(job.parameters.items())},
            "best_effort": job.best_effort,
            "folder": job.folder,
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()

    def recall(self, job: Job, key: str) -> Outcome | None:
        """The outcome of an earlier run, if its products are still what they were."""
        try:
            told = json.loads(self._file(job.name).read_text(encoding="utf-8"))
            outcome = Outcome(**told["outcome"])
            same = told["key"] == key and bool(outcome.products)
            drawn = all((self.out / told["file"]).is_file() for told in outcome.previews)
            if same and drawn and all(file_md5(self.out / name) == md5 for name, md5 in outcome.products.items()):
                return outcome
        except (OSError, ValueError, TypeError, KeyError):
            # Nothing there, or nothing that can be used: the work is done again.
            return None
        return None

    def remember(self, job: Job, key: str, outcome: Outcome) -> None:
        """Note an outcome, whole or not at all."""
        write_whole(self._file(job.name), json.dumps({"key": key, "outcome": asdict(outcome)}, indent=1))

    def checksum(self, path: Path) -> str:
        """MD5 sum of a file, computed once per run."""
        if path not in self._sums:
            self._sums[path] = file_md5(path)
        return self._sums[path]

    def forget_sums(self, names: Mapping[str, Any]) -> None:
        """Products that were made anew have new sums."""
        for name in names:
            self._sums.pop(self.out / name, None)

    def _file(self, name: str) -> Path:
        return self.folder / "done" / f"{name}.json"


def write_whole(path: Path, text: str) -> None:
    """Write a text file under a temporary name, then rename it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
