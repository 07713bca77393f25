"""What all Gemini instruments share."""

from __future__ import annotations

from typing import Any, ClassVar

import astrodata

from gemini_instruments._descriptors import add_descriptors, headers_of
from keyhole import headers
from keyhole.instruments import load_observatory

__all__ = ["AstroDataGemini"]


class AstroDataGemini(astrodata.AstroData):  # type: ignore[misc]  # astrodata ships no types
    """A frame taken at Gemini North or South."""

    # The name under which astrodata looks for the header keywords of descriptors.
    __keyword_dict: ClassVar[dict[str, str]] = dict(load_observatory("Gemini").keywords)

    @staticmethod
    def _matches_data(source: Any) -> bool:
        header = source[0].header
        sites = {str(header.get(keyword, "")).strip().upper() for keyword in ("OBSERVAT", "TELESCOP")}
        return bool(sites & {"GEMINI-NORTH", "GEMINI-SOUTH"})

    @astrodata.astro_data_tag  # type: ignore[untyped-decorator]  # astrodata ships no types
    def _tags_of_headers(self) -> Any:
        return astrodata.TagSet(list(headers.tags(headers_of(self))))


add_descriptors(AstroDataGemini, "Gemini")
