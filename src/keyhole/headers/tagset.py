"""The algebra of tags: rules add tags, and some hide tags or silence other rules.

The rules are applied in one walk. Nothing is retroactive: a tag once granted stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from keyhole.headers.model import Headers

__all__ = ["TagRule", "granted_tags", "in_order"]

Primary = Mapping[str, Any]


@dataclass(frozen=True)
class TagRule:
    """One rule.

    Attributes
    ----------
    name : str
        Unique among the rules of an instrument; a rule of an instrument replaces the observatory's of the
        same name.
    add : callable
        From the primary header to the tags granted; none, or a KeyError for a missing card: the rule does not
        apply.
    remove : set of str
        Tags that later rules cannot grant.
    blocks : set of str
        A later rule that would grant any of these is ignored as a whole.
    blocked_by : set of str
        The rule is ignored when any of these is granted already.
    if_present : set of str
        The rule is ignored unless all of these are granted already.
    """

    name: str
    add: Callable[[Primary], Iterable[str]]
    remove: frozenset[str] = frozenset()
    blocks: frozenset[str] = frozenset()
    blocked_by: frozenset[str] = frozenset()
    if_present: frozenset[str] = frozenset()

    def order(self) -> tuple[int, int, int, str]:
        """Sorting key: who waits for others comes late, who stops others comes early."""
        return (
            len(self.if_present),
            len(self.blocked_by),
            -len(self.remove) - len(self.blocks),
            self.name,
        )


def in_order(rules: Iterable[TagRule]) -> tuple[TagRule, ...]:
    """The rules in the order in which they are to be applied."""
    return tuple(sorted(rules, key=TagRule.order))


def granted_tags(rules: Iterable[TagRule], headers: Headers) -> frozenset[str]:
    """Tags that `rules` grant to a frame.

    Parameters
    ----------
    rules : iterable of TagRule
        As `in_order` returns them.
    headers : Headers
        Only the primary header is looked at.
    """
    tags: set[str] = set()
    removals: set[str] = set()
    blocked: set[str] = set()
    for rule in rules:
        try:
            offered = set(rule.add(headers.primary))
        except KeyError:
            continue
        if not offered or not rule.if_present <= tags:
            continue
        if rule.blocked_by & tags or offered & blocked:
            continue
        removals |= rule.remove
        tags |= offered - removals
        blocked |= rule.blocks
    return frozenset(tags)
