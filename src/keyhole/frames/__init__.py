"""Holding a frame: its planes, headers and tables, read from and written to FITS."""

from __future__ import annotations

from keyhole.frames.frame import Frame, Table
from keyhole.frames.io import read_frame, write_frame
from keyhole.frames.provenance import add_history, add_provenance, file_md5, merge_provenance, sources_of

__all__ = [
    "Frame",
    "Table",
    "add_history",
    "add_provenance",
    "file_md5",
    "merge_provenance",
    "read_frame",
    "sources_of",
    "write_frame",
]
