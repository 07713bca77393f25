"""Choosing frames, see `gempy.adlibrary.dataselect`."""
