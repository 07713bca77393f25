"""Which frames: ``@file`` lists, wildcards, tags and expressions."""

from keyhole.selection.expression import Expression, parse
from keyhole.selection.lists import Selection, expand, gather, list_header, unique
from keyhole.selection.select import select

__all__ = ["Expression", "Selection", "expand", "gather", "list_header", "parse", "select", "unique"]
