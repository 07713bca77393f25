"""Work that stands for a reduction in tests of runs, in a module of its own so that other processes find it."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from pathlib import Path

from keyhole.night.work import Job, Outcome


def write_product(job: Job) -> Outcome:
    """Write what depends on inputs, masters and parameters, as a product that no database takes."""
    parts = [Path(name).read_bytes() for name in (*job.files, *job.calibrations.values())]
    text = hashlib.md5(b"".join(parts) + repr(sorted(job.parameters.items())).encode()).hexdigest()
    name = f"{Path(job.files[0]).stem}_{'stack' if job.makes == 'image' else job.makes}.fits"
    path = Path(job.out) / job.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    with (Path(job.out) / "done.txt").open("a") as stream:
        stream.write(f"{job.name}\n")
    return Outcome(job.name, {str(Path(job.folder) / name): hashlib.md5(text.encode()).hexdigest()})


def fail_on_flats(job: Job) -> Outcome:
    """Fail with the error of a user, but for darks and images."""
    return Outcome(job.name, error="no light") if job.makes == "flat" else write_product(job)


def be_killed_once(job: Job) -> Outcome:
    """The first process that takes a group is killed; the next one does it."""
    mark = Path(job.out) / f"{job.name}.tried"
    try:
        mark.touch(exist_ok=False)
    except FileExistsError:
        return write_product(job)
    os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)
    raise AssertionError("a killed process goes on")


def be_defect(job: Job) -> Outcome:
    """A defect of the work itself."""
    raise RuntimeError(f"a defect in {job.name}")
