"""Sources on a frame: catalogue and mask."""

from __future__ import annotations

from pydantic import Field

from keyhole.frames import Frame, Table
from keyhole.imaging.catalogue import UNITS
from keyhole.imaging.detect import Detection, detect_sources
from keyhole.primitives.base import Context, NonNegative, Params, Positive, primitive
from keyhole.primitives.wcs import plane_of

__all__ = [
    "DetectParams",
    "detect",
]


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
    back_filtersize: Positive = Field(3, description="Width of the median filter over the mesh (cells)")


@primitive("detectSources", DetectParams, scope="frame", stamp="DETECSRC")
def detect(frames: list[Frame], params: DetectParams, context: Context) -> list[Frame]:
    """Find the sources and measure them: OBJCAT and OBJMASK."""
    for frame in frames:
        found = _detect(frame, params)
        frame.planes["OBJMASK"] = found.objmask
        frame.tables.pop("OBJCAT", None)
        n = len(found.catalogue["NUMBER"])
        if n:
            frame.tables["OBJCAT"] = Table(dict(found.catalogue), {k: unit for k, unit in UNITS.items() if unit})
        seeing = "" if found.seeing_arcsec is None else f", seeing {found.seeing_arcsec:.2f} arcsec"
        if found.seeing_arcsec is not None:
            frame.primary["MEANFWHM"] = (round(float(found.seeing_arcsec), 4), "Mean stellar FWHM (arcsec)")
        context.note(f"{frame.name}: {n} sources{seeing}")
    return frames


def _detect(frame: Frame, params: DetectParams) -> Detection:
    return detect_sources(
        frame.data,
        frame.variance,
        frame.mask if params.mask else None,
        pixel_scale=float(frame.describe("pixel_scale") or 1.0),
        detect_thresh=params.detect_thresh,
        analysis_thresh=params.analysis_thresh,
        detect_minarea=params.detect_minarea,
        deblend_mincont=params.deblend_mincont,
        back_size=params.back_size,
        back_filtersize=params.back_filtersize,
        phot_min_radius=params.phot_min_radius,
        noise_correlation=float(frame.header.get("CORRNOIS", 1.0)),
        pixel_to_sky=plane_of(frame).pixel_to_sky,
    )
