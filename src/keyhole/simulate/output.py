"""Writing a night to files: raw frames, and the truth beside them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import InputError, SetupError
from keyhole.simulate.cards import BLOCK, header_block
from keyhole.simulate.headers import HeaderFacts, extension_header, primary_header
from keyhole.simulate.night import Night, build_night, render_frames
from keyhole.simulate.options import NightOptions
from keyhole.simulate.sequence import FramePlan
from keyhole.simulate.truth import write_truth

__all__ = ["NightSummary", "simulate_night"]

_FLOAT = NDArray[np.float32]


class NightSummary(NamedTuple):
    """What was written.

    Attributes
    ----------
    outdir : Path
    frames : tuple of str
        Names of the raw files.
    truth : Path
        Table of the stars.
    seed : int
    """

    outdir: Path
    frames: tuple[str, ...]
    truth: Path
    seed: int


def simulate_night(outdir: Path | str, *, seed: int = 1, options: NightOptions | None = None) -> NightSummary:
    """Write a night of raw frames and its truth.

    Parameters
    ----------
    outdir : path
        Folder for the raw frames and ``truth.ecsv``; made if it does not exist.  More truth goes to ``truth``
        in it.
    seed : int
        The same seed gives the same night.
    options : NightOptions, optional
        Content of the night.

    Returns
    -------
    NightSummary

    Raises
    ------
    InputError
        The folder holds other FITS files already.
    ParameterError
        Options do not go together.
    SetupError
        The folder cannot be written.
    """
    night = build_night(seed, options or NightOptions())
    folder = Path(outdir)
    _prepare_folder(folder, {plan.name for plan in night.plans})
    facts = HeaderFacts(night.options, night.geometry, night.instrument.shape)
    peaks = np.zeros(len(night.stars))
    for plan, light, adu in render_frames(night):
        _write_raw(folder / plan.name, primary_header(plan, facts), extension_header(plan, facts), adu)
        if plan.kind == "OBJECT":
            peaks = np.maximum(peaks, _star_peaks(night, plan, light))
    truth = write_truth(folder, night, peaks)
    return NightSummary(folder, tuple(plan.name for plan in night.plans), truth, seed)


def _star_peaks(night: Night, plan: FramePlan, light: _FLOAT) -> NDArray[np.float64]:
    """Give the largest number of electrons per coadd within two pixels of each star."""
    peaks = np.zeros(len(night.stars))
    for number, star in enumerate(night.stars):
        x, y = np.rint(np.array([star.x, star.y]) + night.star_shift(plan)).astype(int)
        patch = light[max(0, y - 2) : max(0, y + 3), max(0, x - 2) : max(0, x + 3)]
        peaks[number] = float(patch.max()) / plan.coadds if patch.size else 0.0
    return peaks


def _prepare_folder(folder: Path, names: set[str]) -> None:
    ours = (folder / "truth").is_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "truth").mkdir(exist_ok=True)
    except OSError as error:
        raise SetupError(f"{folder} cannot be made ({error.strerror}); choose another folder.") from error
    if not os.access(folder, os.W_OK):
        raise SetupError(f"{folder} cannot be written; choose another folder.")
    others = sorted(path.name for path in folder.glob("*.fits*") if path.name not in names)
    if others:
        raise InputError(f"{folder} already holds other frames ({others[0]}, ...); choose an empty folder.")
    # The names are those of real frames: only a night with its truth beside it is known to be simulated.
    real = [] if ours else sorted(path.name for path in folder.glob("*.fits*"))
    if real:
        (folder / "truth").rmdir()
        raise InputError(f"{folder} holds {real[0]} and no truth beside it: it may be real; choose an empty folder.")


def _write_raw(path: Path, primary: list[str], extension: list[str], adu: _FLOAT) -> None:
    data = adu.astype(">f4").tobytes()
    partial = path.with_suffix(".part")
    try:
        with partial.open("wb") as file:
            file.write(header_block(primary))
            file.write(header_block(extension))
            file.write(data)
            file.write(bytes(-len(data) % BLOCK))
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise SetupError(
            f"{path} cannot be written ({error.strerror}); free some space or choose another folder."
        ) from error
