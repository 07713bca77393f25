"""Frames of GNIRS."""

from __future__ import annotations

from typing import Any, ClassVar

from gemini_instruments._descriptors import add_descriptors
from gemini_instruments.gemini import AstroDataGemini
from keyhole.instruments import load

__all__ = ["AstroDataGnirs"]


class AstroDataGnirs(AstroDataGemini):
    """A frame taken with GNIRS."""

    __keyword_dict: ClassVar[dict[str, str]] = dict(load("GNIRS").keywords)

    @staticmethod
    def _matches_data(source: Any) -> bool:
        return str(source[0].header.get("INSTRUME", "")).strip().upper() == "GNIRS"


add_descriptors(AstroDataGnirs, "GNIRS")
