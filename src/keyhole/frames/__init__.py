"""Holding a frame: its planes, headers and tables, read from and written to FITS."""

from __future__ import annotations

from keyhole.frames.cards import from_astropy, to_astropy
from keyhole.frames.checked import file_md5
from keyhole.frames.frame import Frame, Table, Window
from keyhole.frames.io import write_frame
from keyhole.frames.masters import MasterPart, MasterParts
from keyhole.frames.parking import Parking
from keyhole.frames.provenance import add_history, add_provenance, merge_provenance, sources_of
from keyhole.frames.reading import read_frame, read_frame_and_checksum
from keyhole.frames.stored import into_memory
from keyhole.frames.window import as_window, cut, share_window, whole

__all__ = [
    "Frame",
    "MasterPart",
    "MasterParts",
    "Parking",
    "Table",
    "Window",
    "add_history",
    "add_provenance",
    "as_window",
    "cut",
    "file_md5",
    "from_astropy",
    "into_memory",
    "merge_provenance",
    "read_frame",
    "read_frame_and_checksum",
    "share_window",
    "sources_of",
    "to_astropy",
    "whole",
    "write_frame",
]
