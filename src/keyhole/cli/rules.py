"""The association rules as a table: on the screen, and for the documentation."""

from __future__ import annotations

from collections.abc import Iterator

from keyhole.calibration import Rule, kind_of
from keyhole.calibration.rules import Doubt, TimeWindow, Trigger, rules_of

__all__ = ["rule_table"]

_HEADS = ("calibration", "must be equal", "when", "doubt (grade 2)", "preferred")


def rule_table(instrument: str) -> str:
    """All rules of an instrument as one table in Markdown."""
    rows = [_HEADS, tuple("---" for _ in _HEADS), *(_row(rule) for rule in rules_of(instrument))]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(rule: Rule) -> tuple[str, ...]:
    master = rule.caltype.startswith("processed_")
    equal = [
        criterion.label + (f" (within {criterion.tolerance:g} {criterion.unit})" if criterion.tolerance else "")
        for criterion in rule.criteria
    ]
    together = [f"{criterion.label} within a set" for criterion in rule.set_quantities]
    return (
        f"{'master' if master else 'raw'} {kind_of(rule.caltype)}",
        ", ".join([*equal, *together]),
        _window(rule.window),
        ", ".join(_doubts(rule.doubts)) or "-",
        ", then ".join(preference.value for preference in rule.preferences),
    )


def _window(window: TimeWindow) -> str:
    before, after = window.days_before, window.days_after
    if before is None and after is None:
        return "any time"
    if before == after:
        return f"less than {before:g} day{'s' * (before != 1)} before or after"
    words = ["any time before" if before is None else f"less than {before:g} days before"]
    words.append("never after" if after == 0 else "any time after" if after is None else f"{after:g} days after")
    return ", ".join(words)


def _doubts(doubts: tuple[Doubt, ...]) -> Iterator[str]:
    for doubt in doubts:
        if doubt.trigger is Trigger.AGE:
            yield f"{doubt.days:g} days away or more"
        elif doubt.trigger is Trigger.VALUE:
            yield f"{doubt.label} {' or '.join(sorted(doubt.values))}"
        else:
            yield f"other {doubt.label}"
