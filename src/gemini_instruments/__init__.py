"""Gemini frames in AstroData, under the import path that their users know.

::

    import astrodata, gemini_instruments

    ad = astrodata.open("N20120117S0014.fits")
    ad.tags, ad.exposure_time(), ad[0].gain()

Importing this package registers its classes with astrodata. They hold no rules: tags and descriptors are
those of `keyhole.headers`, asked for the headers of the object.
"""

from __future__ import annotations

import astrodata

from gemini_instruments import gemini, gnirs
from gemini_instruments.gemini import AstroDataGemini
from gemini_instruments.gnirs import AstroDataGnirs

__all__ = ["AstroDataGemini", "AstroDataGnirs", "gemini", "gnirs"]

for _class in (AstroDataGemini, AstroDataGnirs):
    astrodata.factory.add_class(_class)
