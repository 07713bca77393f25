"""The command ``keyhole picture``: a product as PNG."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

__all__ = ["add_parser", "run"]


def add_parser(commands: Any) -> None:
    """Add the command to the parser of ``keyhole``."""
    parser = commands.add_parser("picture", help="draw a stack as PNG", description="Draw a stack as PNG.")
    parser.add_argument("product", type=Path, help="a stack or image made by reduce")
    parser.add_argument("-o", "--output", type=Path, default=None, help="PNG to write (default: beside the product)")
    parser.add_argument("--zoom", type=int, default=2, choices=range(1, 9), help="picture pixels per image pixel")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Draw; returns the exit code.

    Raises
    ------
    SetupError
        The picture cannot be written; nothing half-written is left.
    """
    import numpy as np

    from keyhole.frames import read_frame
    from keyhole.imaging import bits
    from keyhole.report import picture_of, png_bytes
    from keyhole.report.files import write_file

    frame = read_frame(options.product)
    usable = np.ones(frame.data.shape, bool) if frame.mask is None else bits.usable(frame.mask)
    scale = frame.describe("pixel_scale")
    picture = picture_of(frame.data, usable, pixel_scale=scale, zoom=options.zoom)
    output = options.output or options.product.with_name(_png_name(options.product.name))
    write_file(output, png_bytes(picture.rgb), advice="choose another place with -o")
    bar = "" if picture.bar_arcsec is None else f" (scale bar {picture.bar_arcsec:g} arcsec)"
    print(f"wrote {output}{bar}")
    return 0


def _png_name(name: str) -> str:
    for ending in (".gz", ".bz2", ".fits"):
        name = name.removesuffix(ending)
    return f"{name}.png"
