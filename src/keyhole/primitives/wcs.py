"""The WCS of a frame: moved to its extension, freed of its scale error, checked against the target."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keyhole.errors import DataError
from keyhole.frames import Frame
from keyhole.imaging.geometry import TangentPlane, square_cd
from keyhole.imaging.orientation import expected_matrix, reversal_words, reversed_axes
from keyhole.primitives.base import Context
from keyhole.primitives.keyhole import expected_keyhole

__all__ = [
    "WCS_KEYS",
    "MendedAxes",
    "check_pointing",
    "commanded_shifts",
    "detector_offset",
    "keyhole_centre",
    "knows_offsets",
    "knows_target",
    "matrix_of_angle",
    "mend_axes",
    "move_wcs",
    "moved_to",
    "pixel_map",
    "plane",
    "plane_of",
    "pointing_error",
    "pointing_pixel",
    "position_angle",
    "set_plane",
    "stated_shifts",
    "with_axes",
]

WCS_KEYS = ("CTYPE1", "CRPIX1", "CRVAL1", "CTYPE2", "CRPIX2", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2")
# Beyond this disagreement with the camera's scale a CD matrix is not a matrix of this camera
# (South 2004: 71 arcsec; North AO 2016: 0.0475 and 0.0589 for 0.0507).
_WORST_SCALE_ERROR = 0.25
# Degrees; good headers differ by 1 to 2 from the position angle, those of another epoch by a right angle or two.
_SAME_DIRECTION = 10.0
# Relative difference of scales that is worth a word.
_SCALE_TOLERANCE = 0.01
_MIRRORING_PORT = 1
# Arcsec from the middle of the keyhole within which a header with wrong axes may put the pointing to be believed.
_NEAR_KEYHOLE = 12.0
# Arcsec; where recorded headers put undithered targets scatters so much about the middle of the keyhole
# (2010 to 2017: 1 to 7).
_LANDING_ERROR = 5.0


def move_wcs(frame: Frame) -> None:
    """Move the WCS cards from the primary header to the extension. Changes its input.

    A copy left behind would be stale as soon as the pixel grid changes.
    """
    comments = frame.primary.comments
    for key in WCS_KEYS:
        if key in frame.primary:
            if key not in frame.header:
                frame.header[key] = (frame.primary[key], comments[key])
            del frame.primary[key]
    if "CRVAL1" in frame.header:
        frame.header["WCSAXES"] = 2
        frame.header["WCSDIM"] = 2
        frame.header["CUNIT1"] = "deg"
        frame.header["CUNIT2"] = "deg"
        frame.header["RADESYS"] = str(frame.primary.get("RADESYS", "FK5"))
        frame.header["EQUINOX"] = 2000.0


def plane(*, crval: tuple[float, float], crpix: tuple[float, float], cd: NDArray[np.float64]) -> TangentPlane:
    """Build a tangent-plane WCS from a matrix given as array."""
    (a, b), (c, d) = np.asarray(cd, dtype=np.float64).tolist()
    return TangentPlane(crval=crval, crpix=crpix, cd=((a, b), (c, d)))


def plane_of(frame: Frame) -> TangentPlane:
    """Return the tangent-plane WCS of a frame, for the pixels that it holds.

    Raises
    ------
    DataError
        The extension holds no complete WCS.
    """
    header = frame.header
    y0, x0 = _origin(frame)
    try:
        return plane(
            crval=(float(header["CRVAL1"]), float(header["CRVAL2"])),
            crpix=(float(header["CRPIX1"]) - x0, float(header["CRPIX2"]) - y0),
            cd=np.array([[header["CD1_1"], header["CD1_2"]], [header["CD2_1"], header["CD2_2"]]], dtype=float),
        )
    except KeyError as err:
        raise DataError(f"{frame.name}: the WCS lacks card {err}; reduce the raw frame again") from err


def set_plane(frame: Frame, wcs: TangentPlane) -> None:
    """Write a tangent-plane WCS for the pixels of a frame into its extension header. Changes `frame`."""
    header = frame.header
    y0, x0 = _origin(frame)
    header["CTYPE1"], header["CTYPE2"] = "RA---TAN", "DEC--TAN"
    for i in (0, 1):
        header[f"CRVAL{i + 1}"] = float(wcs.crval[i])
        header[f"CRPIX{i + 1}"] = float(wcs.crpix[i]) + (x0, y0)[i]
        for j in (0, 1):
            header[f"CD{i + 1}_{j + 1}"] = float(wcs.cd[i][j])
    for key, value in (("WCSAXES", 2), ("WCSDIM", 2), ("CUNIT1", "deg"), ("CUNIT2", "deg")):
        header[key] = value
    header["RADESYS"] = str(header.get("RADESYS", "FK5"))


def _origin(frame: Frame) -> tuple[int, int]:
    """Row and column of the first pixel of a frame in its image."""
    return (0, 0) if frame.window is None else frame.window.origin


def pixel_map(
    reference: TangentPlane, wcs: TangentPlane, shape: tuple[int, ...]
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64]]:
    """Affine map from pixels of the reference to pixels of a frame; no matrix where it is a pure shift.

    Position in the frame = matrix @ position in the reference + shift; ``(x, y)``, 0-based.
    """
    x = np.array([0.0, shape[1] - 1.0, 0.0])
    y = np.array([0.0, 0.0, shape[0] - 1.0])
    u, v = wcs.sky_to_pixel(*reference.pixel_to_sky(x, y))
    matrix = np.array([[(u[1] - u[0]) / x[1], (u[2] - u[0]) / y[2]], [(v[1] - v[0]) / x[1], (v[2] - v[0]) / y[2]]])
    offset = np.array([u[0], v[0]])
    # A hundredth of a pixel over the whole array is no rotation.
    if np.abs(matrix - np.eye(2)).max() * max(shape) < 0.01:
        return None, offset
    return matrix, offset


class MendedAxes(NamedTuple):
    """What was wrong with the axes of a WCS.

    Attributes
    ----------
    useless : str
        What makes the WCS useless, in words; empty for a good or mended one.
    mended : tuple of str
        What was mended, in words.
    """

    useless: str
    mended: tuple[str, ...] = ()


def mend_axes(frame: Frame, context: Context, *, believe_direction: bool = False) -> MendedAxes:
    """Give the WCS the camera's scale and the direction of the position angle. Changes `frame`.

    The sky position of the pixel stays on which the header puts the pointing: with that the telescope is
    pointed, and wrong axes do not move it.

    Parameters
    ----------
    believe_direction : bool
        Take the axes of the header where they disagree with the position angle and the port.

    Returns
    -------
    MendedAxes
        A useless WCS is left as it is.
    """
    scale = frame.describe("pixel_scale")
    given = plane_of(frame)
    if scale is None:
        return MendedAxes("")
    lengths = np.hypot(given.cd[0], given.cd[1]) * 3600
    error = np.abs(lengths / scale - 1)
    if not np.all(np.isfinite(error)) or np.max(error) > _WORST_SCALE_ERROR:
        measured = f"{lengths[0]:.4f} x {lengths[1]:.4f} arcsec"
        return MendedAxes(f"its pixel scales are {measured}, the camera has {scale}")
    cd = square_cd(given.cd, scale)
    words = ""
    angle = position_angle(frame)
    if angle is not None and not believe_direction:
        expected = matrix_of_angle(frame, context)
        signs = reversed_axes(cd, expected, tolerance=_SAME_DIRECTION)
        if signs is None:
            # The angle between header and PA card, as it is no whole turn, cannot be told from an error.
            cd, words = expected, f"not those of position angle {angle:g}"
        elif signs != (1, 1):
            cd, words = cd * np.array(signs), reversal_words(signs)
    limit = _NEAR_KEYHOLE / scale if words else max(frame.data.shape) / 4
    anchor = pointing_pixel(frame, given, cd, context, limit=limit)
    if anchor is None and words and _target(frame) is not None:
        return MendedAxes(f"its axes are {words}")
    x, y = keyhole_centre(frame, context) if anchor is None else anchor
    set_plane(frame, with_axes(given, cd, x, y))
    mended = []
    if np.max(error) > _SCALE_TOLERANCE:
        mended.append(f"header pixel scales {lengths[0]:.4f} x {lengths[1]:.4f} arcsec, the camera has {scale}")
    if words:
        mended.append(f"the axes of the header's WCS are {words}")
    return MendedAxes("", tuple(mended))


def with_axes(given: TangentPlane, cd: NDArray[np.float64], x: float, y: float) -> TangentPlane:
    """The WCS with other axes, turned about a pixel (0-based) whose sky position stays."""
    ra, dec = given.pixel_to_sky(np.array([x]), np.array([y]))
    return moved_to(plane(crval=given.crval, crpix=given.crpix, cd=cd), (x, y), (float(ra[0]), float(dec[0])))


def moved_to(given: TangentPlane, pixel: tuple[float, float], sky: tuple[float, float]) -> TangentPlane:
    """The WCS moved so that a pixel (0-based) lies at a position on the sky, degrees."""
    for _ in range(3):
        ra, dec = given.pixel_to_sky(np.array([pixel[0]]), np.array([pixel[1]]))
        d_ra = (sky[0] - float(ra[0]) + 180) % 360 - 180
        crval = (given.crval[0] + d_ra) % 360, given.crval[1] + sky[1] - float(dec[0])
        given = TangentPlane(crval=crval, crpix=given.crpix, cd=given.cd)
    return given


def pointing_pixel(
    frame: Frame, header_wcs: TangentPlane, cd: NDArray[np.float64], context: Context, *, limit: float
) -> tuple[float, float] | None:
    """Where the header puts the point on the sky at which the telescope looked: target plus commanded offset.

    None where the header does not tell it, or puts it further than `limit` pixels from the keyhole.
    """
    centre = keyhole_centre(frame, context)
    target, offset = _target(frame), detector_offset(frame)
    if target is None or offset is None:
        return None
    # Stars move with the offset, the pointing against it.
    east, north = -np.asarray(cd) @ np.array(offset)
    ra = target[0] + east / np.cos(np.radians(target[1]))
    x, y = header_wcs.sky_to_pixel(np.array([ra]), np.array([target[1] + north]))
    near = np.hypot(x[0] - centre[0], y[0] - centre[1]) < limit
    return (float(x[0]), float(y[0])) if near else None


def keyhole_centre(frame: Frame, context: Context) -> tuple[float, float]:
    """Usual place of the keyhole, 0-based pixels of the frame; the middle of the frame where it is not known."""
    expected = expected_keyhole(frame, context)
    if expected is not None:
        y0, x0 = _origin(frame)
        return expected.centroid[0] - x0, expected.centroid[1] - y0
    ny, nx = frame.data.shape
    return (nx - 1) / 2, (ny - 1) / 2


def _number(frame: Frame, key: str) -> float | None:
    value = frame.primary.get(key)
    return float(value) if isinstance(value, (int, float)) and value > -9999 else None


def position_angle(frame: Frame) -> float | None:
    """PA card of the telescope, degrees; None where it was not recorded."""
    return _number(frame, "PA")


def knows_offsets(frame: Frame) -> bool:
    """Whether the header tells the offsets P and Q."""
    return _number(frame, "POFFSET") is not None and _number(frame, "QOFFSET") is not None


def detector_offset(frame: Frame) -> tuple[float, float] | None:
    """Commanded displacement of the stars on the detector, in pixels; None when the header does not tell.

    Frames without P and Q (South until 2005) have the offsets of the telescope, ``XOFFSET = -Q`` and ``YOFFSET =
    P`` but for a rotation by some tenths of a degree.
    """
    if not knows_offsets(frame):
        x, y, scale = _number(frame, "XOFFSET"), _number(frame, "YOFFSET"), frame.describe("pixel_scale")
        if x is None or y is None or scale is None or "INPORT" in frame.primary:
            return None
        return -x / scale, -y / scale
    dx, dy = frame.describe("detector_x_offset"), frame.describe("detector_y_offset")
    return None if dx is None or dy is None else (float(dx), float(dy))


def commanded_shifts(frames: list[Frame], context: Context, *, absolute: bool = False) -> NDArray[np.float64]:
    """Where the headers say the stars of each frame lie, relative to the first frame.

    The offsets sent to the telescope are believed first; without them the WCS of the frames is compared.

    Parameters
    ----------
    absolute : bool
        Give the offsets from the target instead, where the headers tell them.

    Returns
    -------
    (n, 2) float64 ndarray
        ``(dx, dy)`` in pixels: position in the frame = position in the first frame + shift.
    """
    offsets = [detector_offset(frame) for frame in frames]
    angles = {round(angle, 1) for angle in map(position_angle, frames) if angle is not None}
    # The grid of a stack is extended: its pixels no longer are those of the detector.
    raw_grids = not any("NCOMBINE" in frame.primary for frame in frames)
    if raw_grids and len(angles) <= 1 and all(offset is not None for offset in offsets):
        shifts = np.array(offsets, dtype=np.float64)
        return shifts if absolute else shifts - shifts[0]
    return stated_shifts(frames, context)


def stated_shifts(frames: list[Frame], context: Context) -> NDArray[np.float64]:
    """Shifts as `commanded_shifts` gives them, by the WCS of the headers at the middle of the keyhole."""
    first = frames[0]
    centre = keyhole_centre(first, context)
    ra, dec = plane_of(first).pixel_to_sky(np.array([centre[0]]), np.array([centre[1]]))
    shifts = np.zeros((len(frames), 2))
    for i, frame in enumerate(frames):
        x, y = plane_of(frame).sky_to_pixel(ra, dec)
        shifts[i] = float(x[0]) - centre[0], float(y[0]) - centre[1]
    return shifts


def check_pointing(frame: Frame, policy: str, limit: float, context: Context, *, useless: str) -> None:
    """Compare the WCS with target plus offset and rebuild it where told to. Changes `frame`.

    Parameters
    ----------
    policy : {'exit', 'fix', 'new', 'ignore'}
        What to do with a WCS that is off.
    limit : float
        Largest accepted distance, arcsec.
    useless : str
        What makes the WCS useless whatever its position; empty: nothing.

    Raises
    ------
    DataError
        The WCS is off and `policy` is ``exit``.
    """
    target = _target(frame)
    distance = None if useless or target is None else _distance(frame, target, context)
    if not useless and (distance is None or distance <= limit):
        return
    words = useless or f"it is {distance:.0f} arcsec off"
    if policy == "exit":
        raise DataError(
            f"{frame.name}: the WCS disagrees with target and offsets ({words}); "
            "mend it with -p prepare:bad_wcs=fix or leave the frame out"
        )
    if policy == "ignore" or target is None:
        context.caveat("the WCS of the header disagrees with target and offsets; left as it is", [frame])
        return
    set_plane(frame, _rebuilt(frame, target, context, given=None if useless else np.array(plane_of(frame).cd)))
    frame.header["WCSFROM"] = ("target", "Position from the target's coordinates")
    frame.header["WCSERR"] = (_LANDING_ERROR, "Expected error of the position (arcsec)")
    if policy == "fix":
        context.caveat(
            f"the WCS of the header is unusable ({words}); rebuilt from target, offsets and position angle, "
            f"good to about {_LANDING_ERROR:g} arcsec",
            [frame],
        )


def knows_target(frame: Frame) -> bool:
    """Whether the header holds the position of the target."""
    return _target(frame) is not None


def pointing_error(frame: Frame, context: Context) -> float | None:
    """Arcsec between the target and where the WCS puts the pixel on which it should lie; None: no target known."""
    target = _target(frame)
    return None if target is None else _distance(frame, target, context)


def _target(frame: Frame) -> tuple[float, float] | None:
    ra, dec = frame.describe("target_ra"), frame.describe("target_dec")
    if ra is None or dec is None or not (0 <= ra <= 360 and abs(dec) <= 90):
        return None
    return float(ra), float(dec)


def _landing(frame: Frame, context: Context) -> tuple[float, float]:
    """Where the target should lie on the detector, 0-based pixels."""
    cx, cy = keyhole_centre(frame, context)
    dx, dy = detector_offset(frame) or (0.0, 0.0)
    return cx + dx, cy + dy


def _distance(frame: Frame, target: tuple[float, float], context: Context) -> float:
    """Arcsec between the target and where the WCS puts the pixel on which it should lie."""
    x, y = _landing(frame, context)
    ra, dec = plane_of(frame).pixel_to_sky(np.array([x]), np.array([y]))
    dra = (float(ra[0]) - target[0] + 180) % 360 - 180
    return float(3600 * np.hypot(dra * np.cos(np.radians(target[1])), float(dec[0]) - target[1]))


def _rebuilt(
    frame: Frame, target: tuple[float, float], context: Context, *, given: NDArray[np.float64] | None
) -> TangentPlane:
    """Target where it should lie; axes of the header where they agree with the position angle, else of that."""
    cd = matrix_of_angle(frame, context)
    if given is not None and reversed_axes(given, cd, tolerance=_SAME_DIRECTION) == (1, 1):
        # Measured on the sky, the header's axes are better than the recorded angle by some degrees.
        cd = given
    x, y = _landing(frame, context)
    return plane(crval=target, crpix=(x + 1, y + 1), cd=cd)


def matrix_of_angle(frame: Frame, context: Context) -> NDArray[np.float64]:
    """Axes that position angle and port tell, of the camera's scale, degrees per pixel."""
    along = (position_angle(frame) or 0.0) + context.instrument(frame).x_axis_from_pa
    # The offsets on the detector are mirrored on this port, and so is the sky.
    mirrored = frame.primary.get("INPORT") == _MIRRORING_PORT and not frame.describe("is_ao")
    return expected_matrix(along, frame.describe("pixel_scale"), mirrored=mirrored)
