"""Summaries of nights that never were, for tests of reports: a good one, a cloudy one, a failed one, a hostile one."""

from __future__ import annotations

from typing import Any

import numpy as np

from keyhole.imaging.preview import make_preview

SCALE = 0.15
WCS = {
    "CRVAL1": 16.24,
    "CRVAL2": 33.93,
    "CRPIX1": 100.0,
    "CRPIX2": 40.0,
    "CD1_1": -4.1e-5,
    "CD1_2": 0.0,
    "CD2_1": 0.0,
    "CD2_2": 4.1e-5,
}


def told(value: Any, error: float | None = None, unit: str = "") -> dict[str, Any]:
    return {"value": value, "error": error, "unit": unit}


def frame(k: int, *, used: bool | None = True, why: str | None = None, **changed: Any) -> dict[str, Any]:
    figures = {
        "mid_time": told(f"2012-01-17T05:{36 + k:02d}:47.000", unit="UT"),
        "object": told("GRB120116A"),
        "filter_name": told("J"),
        "camera": told("ShortBlue_G5538"),
        "fwhm": told(0.55 + 0.01 * (k % 3), 0.01, "arcsec"),
        "sky_level": told(3600.0 + 10 * k, 0.5, "electron"),
        "sky_residual": told(0.1 * (-1) ** k, 0.5, "electron"),
        "noise": told(66.0, 0.3, "electron"),
        "transparency": told(1.0 + 0.01 * (k % 2), 0.005),
        "dx_commanded": told(-26.0 * k, None, "pix"),
        "dy_commanded": told(3.0 * (k % 2), None, "pix"),
        "dx_measured": told(-26.0 * k + 0.4, 0.002, "pix"),
        "dy_measured": told(3.0 * (k % 2) - 0.3, 0.002, "pix"),
        "pointing_error_dx": told(0.06, None, "arcsec"),
        "pointing_error_dy": told(-0.05, None, "arcsec"),
        "registration": told("sources"),
        "registration_scatter": told(0.01, None, "pix"),
        "stars_matched": told(20 + k),
        "cosmic_ray_pixels": told(k, None, "pix"),
        "nonlinear_pixels": told(3, None, "pix"),
        "weight": told(0.2),
    }
    figures |= {name: None if value is None else told(value) for name, value in changed.items()}
    return {
        "file": f"N20120117S{14 + k:04d}.fits",
        "used": used,
        "why": why,
        "figures": {name: value for name, value in figures.items() if value is not None},
    }


def image_group(name: str = "GRB120116A-J", **changed: Any) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    n = 5
    group = {
        "name": name,
        "makes": "image",
        "summary": "5 frames  J  ShortBlue  2 x 30 s",
        "state": "done",
        "reason": None,
        "files": [f"N20120117S{14 + k:04d}.fits" for k in range(n)],
        "parameters": {},
        "planned_calibrations": {},
        "products": [{"file": f"{name}_stack.fits", "md5": "0" * 32}],
        "seconds": 3.2,
        "log": f"logs/{name}.log",
        "defect": None,
        "recipe": "reduce",
        "mode": "sq",
        "inputs": "5 science frames",
        "failed_step": None,
        "frames": [frame(k) for k in range(n)],
        "figures": {
            "growth_frames": told(list(range(1, n + 1))),
            "growth_noise": told([70.0 / k**0.5 * 1.05 for k in range(1, n + 1)], None, "electron"),
            "growth_expected": told([70.0 / k**0.5 for k in range(1, n + 1)], None, "electron"),
            "sources": told(42),
            "fwhm": told(0.554, 0.0025, "arcsec"),
            "pixel_noise": told(30.0, None, "electron"),
            "frames_combined": told(n),
            "total_exposure": told(300.0, None, "s"),
            "depth_radius": told(0.554, None, "arcsec"),
            "depth_flux": told(760.0, None, "electron"),
            "depth_rate": told(12.7, None, "electron / s"),
            "background": told(0.4, 0.1, "electron"),
            "tile_size": told(5.0, None, "arcsec"),
            "tile_rms": told(1.5, None, "electron"),
            "tile_rms_expected": told(1.0, None, "electron"),
            "tile_x": told([16.0 + 33 * k for k in range(6)], None, "pix"),
            "tile_y": told([16.0] * 6, None, "pix"),
            "tile_level": told(rng.normal(0.4, 1.5, 6).tolist(), None, "electron"),
            "tile_error": told([1.0] * 6, None, "electron"),
        },
        "caveats": [{"text": "dark N1_dark.fits: 1 coadd of 60 s", "count": 1, "step": None}],
        "notes": [{"step": "prepare", "text": "a note"}],
        "steps": [
            {
                "name": "stackFrames",
                "seconds": 0.4,
                "frames": 1,
                "skipped": False,
                "parameters": {"hsigma": {"value": 5.0, "default": 4.0}},
            }
        ],
        "calibrations": [
            {"kind": "dark", "file": "N1_dark.fits", "grade": 1, "reason": "same night", "origin": "", "frames": n},
            {"kind": "flat", "file": "N2_flat.fits", "grade": 0, "reason": "same night", "origin": "", "frames": n},
        ],
        "sources": [{"file": "N20120117S0014.fits", "md5": "a" * 32, "step": "prepare"}],
        "previews": [
            preview("after", f"{name}_after", 200, 60, first_frame=[40.0, 5.0]),
            preview("before", f"{name}_before", 120, 50),
        ],
        "host": "here",
    }
    return group | changed


def preview(role: str, file: str, width: int, height: int, **more: Any) -> dict[str, Any]:
    return {
        "file": file,
        "role": role,
        "product": "N20120117S0014_stack.fits",
        "width": width,
        "height": height,
        "x0": 0,
        "y0": 0,
        "binning": 1,
        "image_width": width,
        "image_height": height,
        "sky": 0.0,
        "noise": 1.0,
        "black": -2.5,
        "white": 900.0,
        "stretch": "asinh",
        "unit": "electron",
        "pixel_scale": SCALE,
        "object": "GRB120116A",
        "filter": "J",
        "wcs": WCS,
        "first_frame": None,
        **more,
    }


def master_group() -> dict[str, Any]:
    return image_group("dark-60s") | {
        "makes": "dark",
        "frames": [],
        "figures": {"median": told(74.2, 0.02, "electron"), "hot_pixels": told(1052), "frames_combined": told(10)},
        "caveats": [],
        "previews": [],
        "products": [{"file": "N1_dark.fits", "md5": "1" * 32}],
    }


def failed_group() -> dict[str, Any]:
    return image_group("SN2012A-K") | {
        "state": "failed",
        "reason": "N20120117S0016.fits: no gain is known; leave the frame out",
        "failed_step": "prepare",
        "frames": [frame(k, used=None, weight=None) for k in range(2)],
        "figures": {},
        "previews": [],
        "products": [],
        "calibrations": [],
    }


def summary(*groups: dict[str, Any]) -> dict[str, Any]:
    return {
        "schema": "keyhole-night-2",
        "keyhole": "0.1.0",
        "versions": {"python": "3.11", "numpy": "2.4"},
        "written_ut": "2026-01-02T03:04:05",
        "raw": "raw/2012-01-17",
        "out": "out",
        "seconds": 4.5,
        "groups": list(groups) or [image_group(), master_group()],
        "aside": [{"file": "junk.fits", "why": "no FITS file"}],
    }


def pictures(told_by: dict[str, Any]) -> dict[str, bytes]:
    """A PNG for each preview of a summary."""
    rng = np.random.default_rng(1)
    found = {}
    for group in told_by["groups"]:
        for one in group["previews"]:
            data = rng.normal(0, 1, (one["height"], one["width"]))
            data[one["height"] // 2, one["width"] // 2] = 500
            found[one["file"]] = make_preview(data, np.ones(data.shape, bool)).png
    return found


HOSTILE = '<script>alert(1)</script><img src=x onerror="alert(2)">"\'&'


def hostile_group() -> dict[str, Any]:
    """A group whose headers mean harm."""
    frames = [frame(k, object=HOSTILE, camera="x" * 10_000, filter_name=None) for k in range(3)]
    for one in frames:
        one["file"] = f"{HOSTILE}{'y' * 10_000}.fits"
        one["figures"]["fwhm"] = told(None, None, "")
        one["figures"]["mid_time"] = told("never")
    frames[0]["figures"] = {}
    group = image_group(HOSTILE, frames=frames, summary="z" * 10_000)
    group["caveats"] = [{"text": f"{HOSTILE} {'w' * 10_000}", "count": 1, "step": None}]
    group["figures"] |= {
        "fwhm": told(None),
        "tile_rms": told(None),
        "growth_noise": told([None, None, None, None, None]),
    }
    group["calibrations"][0]["reason"] = HOSTILE
    group["products"] = [{"file": 'a"b<c>&/../x y.fits', "md5": ""}]
    return group
