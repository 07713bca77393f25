"""``keyhole simulate``: write a night of raw frames with its truth."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

__all__ = ["add_parser", "run"]

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

_EFFECT_PREFIX = "no_"


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
    # Imported here: the other commands need not pay for it.
    from keyhole.simulate.options import CAMERAS, EFFECTS, ERAS, FILTERS, READ_MODES, WELL_DEPTHS, NightOptions

    usual = NightOptions()
    parser = subparsers.add_parser(
        "simulate",
        help="write a night of raw frames with known stars",
        description="Write a night of raw GNIRS keyhole frames as the telescope would, the truth beside it.",
    )
    given = " (default %(default)s)"
    add = parser.add_argument
    add("outdir", type=Path, metavar="OUTDIR", help="folder for the frames and truth.ecsv")
    add("--seed", type=int, default=1, help="the same seed gives the same night" + given)
    add("--frames", type=int, default=usual.frames, help="science frames" + given)
    add("--darks", type=int, default=usual.darks, help="darks" + given)
    add("--flats", type=int, default=usual.flats, help="flats with lamp on, and as many with lamp off" + given)
    add("--camera", default=usual.camera, help=f"{', '.join(CAMERAS)}; a start is enough" + given)
    add("--filter", default=usual.filter, help=f"{', '.join(FILTERS)}; a start is enough" + given)
    add("--exptime", type=float, default=usual.exptime, help="science exposure of one coadd, s" + given)
    add("--coadds", type=int, default=usual.coadds, help="coadds of a science frame" + given)
    add("--dark-coadds", type=int, default=usual.dark_coadds, help="coadds of a dark" + given)
    add("--read-mode", default=usual.read_mode, help=", ".join(READ_MODES) + given)
    add("--well", default=usual.well, help=" or ".join(WELL_DEPTHS) + given)
    add("--array", default=usual.array, help="name of the array" + given)
    add("--stars", type=int, default=usual.stars, help="field stars beside the two targets" + given)
    add("--dither", type=float, metavar="ARCSEC", help="step of the dithers along the slot")
    add("--era", default=usual.era, help="epoch of the headers: " + ", ".join(ERAS) + given)
    hard = parser.add_argument_group("hard nights", "what can go wrong")
    add = hard.add_argument
    add("--targets", type=int, default=usual.targets, help="how many of the two targets there are" + given)
    add("--target-mag", type=float, default=usual.target_mag, help="magnitude of the first target" + given)
    add("--faintest", type=float, default=usual.faintest, help="magnitude of the faintest field stars" + given)
    add("--seeing", type=float, nargs=2, metavar=("BEST", "WORST"), help="range of the seeing, arcsec")
    add("--clouds", type=float, default=usual.clouds, help="transparency under the thickest cloud" + given)
    add("--jumps", type=int, default=usual.jumps, help="frames for which the telescope is off its place" + given)
    add("--jump", type=float, default=usual.jump, help="by how much, arcsec" + given)
    add("--closed", type=int, nargs="+", default=[], metavar="N", help="frames taken with the telescope closed")
    add("--late", type=float, default=usual.late, help="minutes by which the last frame comes later" + given)
    add("--nebula", type=float, default=usual.nebula, help="peak of a nebula in units of the sky" + given)
    add("--sky-offset", type=float, default=usual.sky_offset, help="arcsec to the field of every second frame" + given)
    add("--flats-off", type=int, help="number of lamp-off flats (default: as many as with the lamp on)")
    add("--flats-displaced", type=float, default=0.0, help="pixels by which flats of the next night are displaced")
    add("--pattern-noise", type=float, default=usual.pattern_noise, help="of the electronics, electron" + given)
    add("--row-noise", type=float, default=usual.row_noise, help="of the offsets of rows, electron" + given)
    effects = parser.add_argument_group("effects", "each can be left out")
    effects.add_argument("--without", default="", metavar="EFFECT,...", help="leave out several")
    for name, text in EFFECTS.items():
        effects.add_argument(f"--no-{name}", action="store_true", help=f"no {text}")
    parser.set_defaults(run=run)
    return parser


def run(args: argparse.Namespace) -> int:
    """Write the night that the options ask for.

    Parameters
    ----------
    args : argparse.Namespace
        Options, as parsed by the parser of `add_parser`.

    Returns
    -------
    int
        0.
    """
    from keyhole.simulate import NightOptions, simulate_night

    options = NightOptions(
        frames=args.frames,
        darks=args.darks,
        flats=args.flats,
        camera=args.camera,
        filter=args.filter,
        exptime=args.exptime,
        coadds=args.coadds,
        dark_coadds=args.dark_coadds,
        read_mode=args.read_mode,
        well=args.well,
        array=args.array,
        stars=args.stars,
        dither=args.dither,
        without=_left_out(args),
        era=args.era,
        targets=args.targets,
        target_mag=args.target_mag,
        faintest=args.faintest,
        seeing=tuple(args.seeing) if args.seeing else None,
        clouds=args.clouds,
        jumps=args.jumps,
        jump=args.jump,
        closed=args.closed,
        late=args.late,
        nebula=args.nebula,
        sky_offset=args.sky_offset,
        flats_off=args.flats_off,
        flats_displaced=args.flats_displaced,
        pattern_noise=args.pattern_noise,
        row_noise=args.row_noise,
    )
    summary = simulate_night(args.outdir, seed=args.seed, options=options)
    print(f"wrote {len(summary.frames)} raw frames to {summary.outdir} (seed {summary.seed})")
    print(f"wrote {summary.truth} and {summary.outdir / 'truth'}")
    return 0


def _left_out(args: argparse.Namespace) -> frozenset[str]:
    from keyhole.simulate.options import EFFECTS

    switched = {name for name in EFFECTS if getattr(args, _EFFECT_PREFIX + name.replace("-", "_"))}
    listed = {name.strip() for name in args.without.split(",") if name.strip()}
    return frozenset(switched | listed)
