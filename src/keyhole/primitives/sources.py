"""Sources on a frame: catalogue and mask."""

from __future__ import annotations

from pydantic import Field

from keyhole.frames import Frame, Table
from keyhole.imaging.catalogue import UNITS
from keyhole.imaging.detect import Detection, detect_sources
from keyhole.primitives.base import Context, NonNegative, Params, Positive, primitive
from keyhole.primitives.figures import tell_sources
from keyhole.primitives.noise import ApertureNoise
from keyhole.primitives.wcs import plane_of

__all__ = [
    "DetectParams",
    "detect",
]


_USUAL_SEEING = 0.6  # arcsec, where no star tells it


class DetectParams(Params):
    """Parameters of detectSources."""

    suffix: str | None = Field("_sourcesDetected", description="Ending of the output name")
    mask: bool = Field(True, description="Leave flagged pixels out of the detection")
    replace_flags: NonNegative = Field(249, description="Bits that count as flagged (249 = 1,8,16,32,64,128)")
    set_saturation: bool = Field(False, description="Accepted for compatibility; saturation is flagged always")
    detect_minarea: Positive = Field(10, description="Fewest connected pixels above the threshold")
    detect_thresh: float = Field(3.0, ge=0.1, description="Detection threshold in sigma of the background")
    analysis_thresh: float = Field(2.0, ge=0.1, description="Threshold for isophotal measures, in sigma")
    deblend_mincont: float = Field(0.001, ge=0, description="Smallest flux contrast for splitting blends")
    phot_min_radius: float = Field(3.5, ge=1, description="Smallest Kron aperture, in units of the source size")
    back_size: Positive = Field(32, description="Mesh size of the background (pixels)")
    peak_thresh: float | None = Field(
        4.5,
        ge=1,
        description="On a combination, also find the stars that stand out by this signal to noise under a filter as "
        "wide as the seeing; None = not, as published",
    )
    total_flux: bool = Field(
        True,
        description="On a combination, add to FLUX_AUTO the light that a point source has beyond the Kron aperture; "
        "False = not, as published",
    )
    back_filtersize: Positive = Field(3, description="Width of the median filter over the mesh (cells)")


@primitive("detectSources", DetectParams, scope="frame", stamp="DETECSRC", windowed=True)
def detect(frames: list[Frame], params: DetectParams, context: Context) -> list[Frame]:
    """Find the sources and measure them: OBJCAT and OBJMASK."""
    for frame in frames:
        noise = ApertureNoise.of(frame)
        found = _detect(frame, params, noise)
        if noise.known:
            raised = noise.check(frame, found.objmask)
            found = _detect(frame, params, noise) if raised else found
            _tell_noise(raised, context)
        frame.planes["OBJMASK"] = found.objmask
        frame.tables.pop("OBJCAT", None)
        n = len(found.catalogue["NUMBER"])
        if n:
            frame.tables["OBJCAT"] = Table(dict(found.catalogue), {k: unit for k, unit in UNITS.items() if unit})
        seeing = "" if found.seeing_arcsec is None else f", seeing {found.seeing_arcsec:.2f} arcsec"
        if found.seeing_arcsec is not None:
            frame.primary["MEANFWHM"] = (round(float(found.seeing_arcsec), 4), "Mean stellar FWHM (arcsec)")
        context.note(f"{frame.name}: {n} sources{seeing}")
        tell_sources(frame, found.seeing_arcsec, context, combined=noise.known)
    return frames


def _tell_noise(raised: dict[float, float], context: Context) -> None:
    if raised:
        worst = max(raised, key=lambda radius: raised[radius])
        context.note(
            f"empty apertures of {worst:g} pixels are {raised[worst]:.2f} times as noisy as predicted; "
            "the errors allow for it"
        )


def _detect(frame: Frame, params: DetectParams, noise: ApertureNoise) -> Detection:
    scale = float(frame.describe("pixel_scale") or 1.0)
    combined = int(frame.primary.get("NCOMBINE", 1)) > 1 and params.peak_thresh is not None
    seeing = float(frame.primary.get("MEANFWHM", _USUAL_SEEING))
    return detect_sources(
        frame.data,
        frame.variance,
        frame.mask if params.mask else None,
        pixel_scale=scale,
        detect_thresh=params.detect_thresh,
        analysis_thresh=params.analysis_thresh,
        detect_minarea=params.detect_minarea,
        deblend_mincont=params.deblend_mincont,
        back_size=params.back_size,
        back_filtersize=params.back_filtersize,
        phot_min_radius=params.phot_min_radius,
        noise_correlation=noise.at,
        fwhm=seeing / scale if combined else None,
        peak_thresh=params.peak_thresh or 0.0,
        total_flux=params.total_flux,
        pixel_to_sky=plane_of(frame).pixel_to_sky,
    )
