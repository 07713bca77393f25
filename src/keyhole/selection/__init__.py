"""Which frames: ``@file`` lists, wildcards, tags and expressions."""

from keyhole.selection.expression import Expression, parse
from keyhole.selection.lists import Selection, expand, gather, unique
from keyhole.selection.select import select

__all__ = ["Expression", "Selection", "expand", "gather", "parse", "select", "unique"]
