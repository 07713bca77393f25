"""Named sets of parameters: another way of doing everything, chosen by one word."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from keyhole.errors import ParameterError

__all__ = ["PARAMETER_SETS", "parameter_set"]

# What the published procedure does where Keyhole does something else by itself. Steps that it does not have are
# left out.
_CLASSIC: Mapping[str, Mapping[str, Any]] = {
    "prepare": {"bad_wcs": "exit", "axes": "header"},
    "addDQ": {"margin": 0.0},
    "addIllumMaskToDQ": {"margin": 0.0},
    "limitToLight": {"skip_primitive": True},
    "addLatencyToDQ": {"skip_primitive": True, "non_linear": False, "fluence": None, "outshone": None},
    "cleanReadout": {"clean": "skip", "row_strength_thres": None},
    "stackDarks": {"learn_bad_pixels": False, "reject_method": "sigclip"},
    "thresholdFlatfield": {"weak": 0.0, "tolerance": 1e6},
    "illuminationCorrect": {"skip_primitive": True},
    "skyCorrect": {
        "operation": "median",
        "reject_method": "minmax",
        "nlow": 1,
        "nhigh": 1,
        "mask_objects": False,
        "dilation": 2.0,
        "slope_significance": None,
        "model_noise": False,
    },
    "detectSources": {"mask": False, "detect_minarea": 40, "peak_thresh": None, "total_flux": False},
    "adjustWCSToReference": {"rotate": True, "light": False, "doubt_offsets": False},
    "flagCosmicRays": {"skip_primitive": True},
    "resampleToCommonFrame": {"max_lost": 0.001},
    "scaleCountsToReference": {"clouds": 1.0},
    "clearUnlit": {"replace_flags": 0},
    "stackFrames": {
        "reject_method": "sigclip",
        "hsigma": 3.0,
        "lsigma": 3.0,
        "signal_tolerance": 0.0,
        "weights": "equal",
        "fill_holes": False,
    },
}

PARAMETER_SETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {"classic": _CLASSIC}


def parameter_set(name: str | None) -> Mapping[str, Mapping[str, Any]]:
    """Step to the values that a set gives its parameters; nothing for no name.

    Raises
    ------
    ParameterError
        There is no such set.
    """
    if name is None:
        return {}
    if name not in PARAMETER_SETS:
        near = difflib.get_close_matches(name, PARAMETER_SETS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there is {', '.join(PARAMETER_SETS)}"
        raise ParameterError(f"no set of parameters is called {name!r}; {hint}")
    return PARAMETER_SETS[name]
