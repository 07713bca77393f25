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
    parser.add_argument(
        "--registered",
        type=Path,
        nargs="+",
        default=[],
        metavar="FRAME",
        help="frames written by -p adjustWCSToReference:write_outputs=True, to judge the registration",
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
        verdict = verify(args.stack, truth, registered=args.registered)
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
        _row("VAR / measured variance", v.variance_ratio, 3, "0.95-1.05", 0.95 <= v.variance_ratio <= 1.05),
        ("pull, median", _number(v.pull_median, 3), "", None),
        ("median of the good pixels", _number(v.median, 4), "", None),
    ]


def _rows(v: Verification) -> list[Row]:
    return [*_light_rows(v), *_noise_rows(v), *_place_rows(v), *_source_rows(v)]


def _light_rows(v: Verification) -> list[Row]:
    return [
        _row(f"flux ratio, median ({v.stars} stars)", v.flux_ratio, 4, "1 ± 0.015", abs(v.flux_ratio - 1) <= 0.015),
        _row("flux ratio, scatter", v.flux_scatter, 4),
        _row("flux ratio, worst deviation", v.flux_worst, 4),
        _row(
            f"scatter beyond noise ({v.bright_stars} bright stars)",
            v.bright_scatter,
            4,
            "≤ 0.007",
            v.bright_scatter <= 0.007,
        ),
        _row("the same, one zero point for all", v.zero_scatter, 4),
        _row(
            f"scatter, 18-20 mag ({v.faint_stars} stars)",
            v.faint_scatter,
            3,
            f"noise {_number(v.faint_noise, 3)}",
        ),
        _row(
            f"flux ratio, S/N 5-20 ({v.low_stars} stars)",
            v.low_ratio,
            3,
            f"1 ± {_number(v.low_error, 3)}",
        ),
        _row(f"pull, median ({v.pull_stars} stars)", v.pull_median, 2, "0"),
        _row("pull, width", v.pull_width, 2, "1"),
        _row(f"pull, width, catalogue ({v.catalogue_stars} stars)", v.catalogue_pull, 2, "1"),
        _row("flux ratio, catalogue, S/N 5-20", v.catalogue_low, 3, "1"),
        _row("width of the stars / true width", v.fwhm_ratio, 3, "1"),
    ]


def _noise_rows(v: Verification) -> list[Row]:
    off = abs(v.background_electrons)
    return [
        _row("background (electron)", v.background_electrons, 2, "0 ± 0.4", off <= 0.4),
        _row("background (sigma of a pixel)", v.background, 3),
        _row("background, sigma (electron)", v.background_sigma, 2),
        _row("noise of pixels / sqrt(VAR)", v.noise_ratio, 3, "0.97-1.04", 0.97 <= v.noise_ratio <= 1.04),
        *(
            _row(
                f"noise of circles / predicted, r = {found['radius']:g} pixels",
                found["ratio"],
                3,
                "0.95-1.08",
                0.95 <= found["ratio"] <= 1.08,
            )
            for found in v.apertures
        ),
        ("cosmic rays left", f"{v.rays_left} of {v.rays}", "none", v.rays_left == 0),
        ("star-free pixels beyond 5 sigma", str(v.outliers), "", None),
    ]


def _place_rows(v: Verification) -> list[Row]:
    frames = f"({v.registration_frames} frames)"
    return [
        _row(f"registration, rms (pixel) {frames}", v.registration_rms, 3, "≤ 0.03", v.registration_rms <= 0.03),
        _row("position, rms (arcsec)", v.position_rms, 4, "≤ 0.03", v.position_rms <= 0.03),
        _row("position, worst (arcsec)", v.position_worst, 4),
        _row("position, common shift (arcsec)", v.offset, 3),
        _row("position on the array, rms (pixel)", v.position_rms_pixel, 3),
        _row("WCS over the keyhole, worst (arcsec)", v.wcs_worst, 3, "≤ 0.1", v.wcs_worst <= 0.1),
        _row("WCS, common shift (arcsec)", v.wcs_absolute, 3),
    ]


def _source_rows(v: Verification) -> list[Row]:
    return [
        _row(f"completeness, S/N > 5 ({v.completeness_stars} stars)", v.completeness, 3, "1"),
        _row(f"completeness, S/N 5-10 ({v.limit_stars} stars)", v.limit_completeness, 3, "1"),
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


def _row(quantity: str, value: float, digits: int, wanted: str = "", good: bool | None = None) -> Row:
    """One line; what could not be measured is neither good nor bad."""
    return quantity, _number(value, digits), wanted, good if math.isfinite(value) else None


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else "-"
