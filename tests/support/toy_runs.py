"""Small raw files as GNIRS writes them, and toy steps to run on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import tiny_frames
from astropy.io import fits
from pydantic import Field

from keyhole.frames import Frame
from keyhole.primitives import REGISTRY, Context, Params, Primitive

CARDS = {
    "dark": tiny_frames.DARK,
    "flat": tiny_frames.FLAT,
    "science": tiny_frames.SCIENCE,
    "master dark": tiny_frames.MASTER_DARK,
    "master flat": tiny_frames.MASTER_FLAT,
    "master bpm": tiny_frames.MASTER_BPM,
}
Kind = Literal["dark", "flat", "science", "master dark", "master flat", "master bpm"]


def raw_file(path: Path, kind: Kind = "dark", *, seed: int = 0, side: int = 64, **cards: Any) -> Path:
    """Write a file with one image of side x side pixels: a level of 100 ADU with noise of 2 ADU.

    A bad-pixel mask has one bad pixel, in row 3 and column 5.
    Keywords change cards; None removes one; ``DATE_OBS`` stands for DATE-OBS.
    """
    changes = {name.replace("DATE_OBS", "DATE-OBS").replace("GEM_TLM", "GEM-TLM"): v for name, v in cards.items()}
    primary = fits.PrimaryHDU()
    for name, value in (CARDS[kind] | changes).items():
        if value is not None:
            primary.header[name] = value
    data: Any = np.random.default_rng(seed).normal(100, 2, (side, side)).astype(np.float32)
    if kind == "master bpm":
        data = np.zeros((side, side), np.int16)
        data[3, 5] = 1
    fits.HDUList([primary, fits.ImageHDU(data)]).writeto(path)
    return path


def raw_files(folder: Path, kind: Kind = "dark", n: int = 3, **cards: Any) -> list[Path]:
    """Write N20120102S0001.fits and so on, half an hour apart."""
    times = [f"{10 + number // 2}:{30 * (number % 2):02d}:00.0" for number in range(1, n + 1)]
    return [
        raw_file(
            folder / f"N20120102S{number:04d}.fits",
            kind,
            seed=number,
            **({"UT": time, "DATALAB": f"GN-{number:03d}"} | cards),
        )
        for number, time in enumerate(times, start=1)
    ]


class ToyParams(Params):
    """Parameters of the toy steps."""

    suffix: str | None = Field("_toy", description="Ending of the output name")
    factor: float = Field(2.0, gt=0, le=10, description="Factor")
    name: str | None = Field(None, description="Any text")


class WriterParams(Params):
    """Parameters of the toy step that writes."""

    suffix: str | None = Field("_out", description="Ending of the output name")


def multiply(frames: list[Frame], params: ToyParams, context: Context) -> list[Frame]:
    """Multiply each frame."""
    for frame in frames:
        frame.data = frame.data * np.float32(params.factor)
        context.note(f"{frame.root} times {params.factor:g}")
        if params.name:
            context.caveat(params.name, [frame])
    return frames


def pick_first(frames: list[Frame], params: ToyParams, context: Context) -> list[Frame]:
    """Keep the first frame of a list."""
    return frames[:1]


def drop_all(frames: list[Frame], params: ToyParams, context: Context) -> list[Frame]:
    """Keep none."""
    return []


def fail(frames: list[Frame], params: ToyParams, context: Context) -> list[Frame]:
    """Fail."""
    raise RuntimeError("a defect")


def bad_plane(frames: list[Frame], params: ToyParams, context: Context) -> list[Frame]:
    """Attach a mask of another shape."""
    for frame in frames:
        frame.mask = np.zeros((2, 2), np.uint16)
    return frames


def write(frames: list[Frame], params: WriterParams, context: Context) -> list[Frame]:
    """Hand on what is to be written."""
    return frames


TOY_STEPS = (
    Primitive("toyMultiply", multiply, ToyParams, "frame", stamp="TOYMULT"),
    Primitive("toyFirst", pick_first, ToyParams, "list"),
    Primitive("toyDrop", drop_all, ToyParams, "list"),
    Primitive("toyFail", fail, ToyParams, "list"),
    Primitive("toyBadPlane", bad_plane, ToyParams, "frame"),
    Primitive("toyWrite", write, WriterParams, "frame", writes=True),
)


def install_toy_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register the toy steps for the duration of a test."""
    for step in TOY_STEPS:
        monkeypatch.setitem(REGISTRY, step.name, step)
