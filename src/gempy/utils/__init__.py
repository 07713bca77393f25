"""Logs of scripts, see `gempy.utils.logutils`."""
