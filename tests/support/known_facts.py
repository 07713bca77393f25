"""Facts of a science frame of the tutorial's sequence, and of masters that fit it."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from keyhole.calibration.facts import Facts
from keyhole.calibration.rules import RULES

SCIENCE = Facts(
    name="N20120117S0019.fits",
    instrument="GNIRS",
    observation_id="GN-2011B-Q-34-155",
    ut_datetime=datetime(2012, 1, 17, 5, 41),
    array_name="SN7638228.1",
    read_mode="Faint Objects",
    well_depth_setting="Shallow",
    exposure_time=60.0,
    coadds=2,
    camera="ShortBlue_G5538",
    filter_name="Open&J_G0517",
    focal_plane_mask="Acq_G5530&Acq_G5531",
    disperser="MIRROR",
    binning="1x1",
    qa_state="Pass",
)
DARK = replace(
    SCIENCE,
    name="N20120102S0538_dark.fits",
    caltype="processed_dark",
    observation_id="GN-CAL20120102-9",
    ut_datetime=datetime(2012, 1, 2, 18, 0),
    coadds=1,
    filter_name="Dark_G0511&J_G0517",
    focal_plane_mask="0.30arcsec_G5530&SCLong_G5531",
    disperser="32/mm_G5533",
    camera="LongBlue_G5542",
)
FLAT = replace(
    SCIENCE,
    name="N20120117S0034_flat.fits",
    caltype="processed_flat",
    ut_datetime=datetime(2012, 1, 17, 7, 0),
    exposure_time=1.2,
    coadds=1,
    read_mode="Very Bright Objects",
)
BPM = replace(FLAT, name="bpm.fits", caltype="processed_bpm", ut_datetime=datetime(2010, 5, 1))
RULE = {rule.caltype: rule for rule in RULES}
