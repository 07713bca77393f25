"""The commands: parse, one call, print, exit code."""
