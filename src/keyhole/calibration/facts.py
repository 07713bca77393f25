"""What a frame says about itself, as far as calibrations are concerned."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from keyhole.headers import Headers, describe, tags
from keyhole.instruments import load_observatory

__all__ = ["CALIBRATION_TYPES", "Facts", "caltype_of_tags", "facts_of", "kind_of", "required_tags"]

# Types that a user may name. The order decides what a file is that carries several of these tags: a
# bad-pixel mask made from flats is a bad-pixel mask.
CALIBRATION_TYPES: tuple[str, ...] = (
    "processed_bpm",
    "processed_dark",
    "processed_flat",
    "processed_arc",
    "processed_bias",
    "processed_fringe",
    "processed_standard",
)

_EPOCH = datetime(2000, 1, 1)


@dataclass(frozen=True)
class Facts:
    """The quantities of a frame or master that association rules compare.

    Attributes
    ----------
    name : str
        File name, for messages.
    tags : frozenset of str
        What kind of frame it is.
    caltype : str or None
        ``processed_dark`` and the like; None for anything that is not a processed calibration.
    instrument, observation_type, observation_class, observation_id, data_label : str or None
        Identity as the header has it.
    ut_datetime : datetime or None
        Start of the exposure, UT, without zone.
    night : str or None
        Civil date (ISO) of the last noon at the telescope before the exposure: from noon to noon, calibrations
        taken by day included, is one night. None where time or telescope are not known.
    array_name, read_mode, well_depth_setting : str or None
        Detector and how it was read; ``Unknown`` when the header's combination is in no table.
    exposure_time : float or None
        Total of all coadds, seconds.
    coadds : int or None
        Number of exposures summed in the frame.
    camera, filter_name, focal_plane_mask, disperser : str or None
        Optical path, full names with component numbers.
    gcal_lamp : str or None
        Lamp of the calibration unit.
    binning : str or None
        ``1x1`` for GNIRS.
    qa_state : str or None
        Verdict of the observatory: Pass, Usable, Fail, CHECK or Undefined.
    processing_mode : str or None
        How a master was made: ``sq`` (science quality), ``ql`` (quick look) or ``qa`` (quality assessment).
    """

    name: str = ""
    tags: frozenset[str] = frozenset()
    caltype: str | None = None
    instrument: str | None = None
    observation_type: str | None = None
    observation_class: str | None = None
    observation_id: str | None = None
    data_label: str | None = None
    ut_datetime: datetime | None = None
    night: str | None = None
    array_name: str | None = None
    read_mode: str | None = None
    well_depth_setting: str | None = None
    exposure_time: float | None = None
    coadds: int | None = None
    camera: str | None = None
    filter_name: str | None = None
    focal_plane_mask: str | None = None
    disperser: str | None = None
    gcal_lamp: str | None = None
    binning: str | None = None
    qa_state: str | None = None
    processing_mode: str | None = None

    @property
    def exposure_per_coadd(self) -> float | None:
        """Exposure of one coadd, seconds."""
        if self.exposure_time is None or not self.coadds:
            return None
        return self.exposure_time / self.coadds

    @property
    def ut_microseconds(self) -> int | None:
        """Time since 2000-01-01 UT in whole microseconds: exact here and in every database."""
        if self.ut_datetime is None:
            return None
        return (self.ut_datetime - _EPOCH) // timedelta(microseconds=1)


# What is asked of the headers under the very name of the field.
_DESCRIPTORS = (
    "instrument",
    "observation_type",
    "observation_class",
    "observation_id",
    "data_label",
    "ut_datetime",
    "array_name",
    "read_mode",
    "well_depth_setting",
    "exposure_time",
    "coadds",
    "camera",
    "filter_name",
    "focal_plane_mask",
    "disperser",
    "gcal_lamp",
    "binning",
    "qa_state",
)


def facts_of(headers: Headers) -> Facts:
    """Collect the quantities that association rules compare from the headers of a file.

    Parameters
    ----------
    headers : Headers
        As read by `keyhole.headers.read_headers`. Not changed.

    Returns
    -------
    Facts
        Quantities that the header does not tell are None.
    """
    found = tags(headers)
    values: dict[str, Any] = {name: _one_value(describe(headers, name)) for name in _DESCRIPTORS}
    if values["instrument"] is not None:
        values["instrument"] = str(values["instrument"]).strip().upper()
    values["night"] = _night(describe(headers, "telescope"), values["ut_datetime"])
    values["processing_mode"] = str(headers.primary.get("PROCMODE") or "").strip().lower() or None
    return Facts(name=Path(headers.name).name, tags=found, caltype=caltype_of_tags(found), **values)


def caltype_of_tags(found: Iterable[str]) -> str | None:
    """Name the kind of processed calibration that carries these tags; None when it is not one."""
    present = frozenset(found)
    for caltype in CALIBRATION_TYPES:
        if required_tags(caltype) <= present:
            return caltype
    return None


def required_tags(caltype: str) -> frozenset[str]:
    """Tags that a file must carry to serve as this type: ``processed_dark`` needs PROCESSED and DARK."""
    return frozenset(caltype.upper().split("_"))


def kind_of(caltype: str) -> str:
    """Word for a calibration type in a sentence: ``processed_dark`` is a dark."""
    word = caltype.removeprefix("processed_")
    return {"bpm": "bad-pixel mask", "lampoff_flat": "lamp-off flat"}.get(word, word)


def _night(telescope: object, ut: datetime | None) -> str | None:
    if ut is None or telescope is None:
        return None
    # All instruments so far are at one observatory, to which `tags` and descriptors belong as well.
    night = load_observatory("gemini").night(str(telescope).strip(), ut)
    return None if night is None else night.isoformat()


def _one_value(value: Any) -> Any:
    """Reduce a list of one value per extension to that value, or to a joined text when they differ."""
    if not isinstance(value, list):
        return value
    different = list(dict.fromkeys(value))
    if len(different) == 1:
        return different[0]
    return "+".join(str(item) for item in different) or None
