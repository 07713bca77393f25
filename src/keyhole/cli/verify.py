"""``keyhole verify``: how good a stack is against the truth of its simulated night."""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

__all__ = ["add_parser", "run"]

if TYPE_CHECKING:
    from keyhole.simulate import MasterVerification, Verification

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

    Row = tuple[str, str, str, bool | None]

_WIDTH = 80


def add_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add the command to the parser of ``keyhole``.

    Parameters
    ----------
    subparsers : argparse action
        What ``add_subparsers`` returned.

    Returns
    -------
    argparse.ArgumentParser
    """
    parser = subparsers.add_parser(
        "verify",
        help="judge a stack against the truth of its simulated night",
        description="Measure a stacked image or a master against the truth of the simulated night it was made from.",
    )
    parser.add_argument(
        "stack", type=Path, metavar="PRODUCT", help="stacked image in electrons, master dark or master flat"
    )
    parser.add_argument(
        "truth",
        type=Path,
        metavar="TRUTH",
        help="truth.ecsv of the night or its folder; for a master, the true image in truth/",
    )
    parser.add_argument("--json", action="store_true", help="print all numbers as JSON, star by star")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Measure the stack and print the verdict.

    Parameters
    ----------
    args : argparse.Namespace
        Options, as parsed by the parser of `add_parser`.

    Returns
    -------
    int
        0.
    """
    from keyhole.simulate import verify, verify_master

    truth = args.truth / "truth.ecsv" if args.truth.is_dir() else args.truth
    verdict: Verification | MasterVerification
    if truth.suffix == ".fits":
        verdict = verify_master(args.stack, truth)
        rows = _master_rows(verdict)
    else:
        verdict = verify(args.stack, truth)
        rows = _rows(verdict)
    if args.json:
        print(json.dumps(verdict.as_dict(), indent=2, allow_nan=False))
    else:
        _print_table(args.stack.name, rows)
    return 0


def _print_table(name: str, rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{name} against the truth", width=_WIDTH)
    table.add_column("quantity")
    table.add_column("value", justify="right")
    table.add_column("wanted", justify="right")
    table.add_column("", justify="center")
    for quantity, value, wanted, good in rows:
        table.add_row(quantity, value, wanted, "" if good is None else "ok" if good else "off")
    Console(width=_WIDTH).print(table)


def _master_rows(v: MasterVerification) -> list[Row]:
    return [
        (f"pull, width ({v.pixels} pixels)", _number(v.pull_width, 3), "1 ± 0.1", abs(v.pull_width - 1) <= 0.1),
        ("pull, median", _number(v.pull_median, 3), "", None),
        ("median of the good pixels", _number(v.median, 4), "", None),
    ]


def _rows(v: Verification) -> list[Row]:
    bright = f"({v.stars} stars)"
    return [
        (
            f"flux ratio, median {bright}",
            _number(v.flux_ratio, 4),
            "1 ± 0.015",
            abs(v.flux_ratio - 1) <= 0.015,
        ),
        ("flux ratio, scatter", _number(v.flux_scatter, 4), "", None),
        ("flux ratio, worst deviation", _number(v.flux_worst, 4), "", None),
        (f"pull, median ({v.pull_stars} stars)", _number(v.pull_median, 2), "0", None),
        ("pull, width", _number(v.pull_width, 2), "1", None),
        ("position, rms (arcsec)", _number(v.position_rms, 4), "≤ 0.03", v.position_rms <= 0.03),
        ("position, worst (arcsec)", _number(v.position_worst, 4), "", None),
        ("position, common shift (arcsec)", _number(v.offset, 3), "", None),
        ("position on the array, rms (pixel)", _number(v.position_rms_pixel, 3), "", None),
        ("width of the stars / true width", _number(v.fwhm_ratio, 3), "1", None),
        ("background (sigma of a pixel)", _number(v.background, 3), "0 ± 0.1", abs(v.background) <= 0.1),
        ("background, sigma (electron)", _number(v.background_sigma, 2), "", None),
        ("noise of pixels / sqrt(VAR)", _number(v.noise_ratio, 3), "1", None),
        ("noise of apertures / sqrt(VAR)", _number(v.aperture_noise_ratio, 3), "", None),
        (f"completeness ({v.completeness_stars} stars)", _number(v.completeness, 3), "1", None),
        (f"sources that are no stars ({v.found_by})", str(v.false_detections), "", None),
        ("pixels that are not finite", str(v.nan_pixels), "0", v.nan_pixels == 0),
        (
            "saturated stars flagged",
            f"{v.saturated_flagged} of {v.saturated_stars}",
            "all",
            v.saturated_flagged == v.saturated_stars,
        ),
        (
            "saturated stars kept",
            f"{v.saturated_kept} of {v.saturated_stars}",
            "all",
            v.saturated_kept == v.saturated_stars,
        ),
    ]


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"
