"""Which masters served which frames of a run, how good they were, and how the products say so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from keyhole.engine.request import Association
from keyhole.frames import Frame
from keyhole.headers import Header

__all__ = ["GRADE_CARD", "Served"]

GRADE_CARD = "CALGRADE"
_MEANING = "Worst calibration: 0 ideal ... 4 missing"
_KIND_CARDS = {"processed_dark": "DARKGRAD", "processed_flat": "FLATGRAD", "processed_bpm": "BPMGRAD"}


class Served:
    """The masters of a run by frame, and which of them steps have asked for.

    Parameters
    ----------
    chosen : mapping
        ``(root of the frame, kind)`` to the master chosen for it, or to the fact that there is none.
    named : sequence of Association
        Masters that parameters of steps name; they serve every frame.
    """

    def __init__(self, chosen: Mapping[tuple[str, str], Association], named: Sequence[Association] = ()) -> None:
        self._chosen = chosen
        self._named = named
        self._used: dict[str, dict[str, Association]] = {}
        self._step: dict[str, Association] = {}
        self._inherited: list[int] = []

    def inherit(self, primary: Mapping[str, Any]) -> None:
        """Take over the grade that an input has from an earlier run."""
        if isinstance(grade := primary.get(GRADE_CARD), int):
            self._inherited.append(grade)

    def ask(self, root: str, kind: str) -> Path | None:
        """The master of a kind for a frame; that it was asked for is remembered."""
        found = self._chosen.get((root, kind))
        if found is None:
            return None
        self._remember(root, found)
        return found.path

    def ask_named(self, path: Path, kind: str) -> None:
        """Remember that a step used a master which its parameter names."""
        for found in self._named:
            if (found.path, found.kind) == (path, kind):
                self._remember("", found)

    def take_step(self) -> list[dict[str, Any]]:
        """Hand over what the current step used, for the history, and forget it."""
        step, self._step = self._step, {}
        return [
            {
                "kind": found.kind,
                "file": None if found.path is None else found.path.name,
                "grade": None if found.grade is None else int(found.grade),
                "reason": found.reason,
            }
            for found in step.values()
        ]

    def write_cards(self, product: Frame) -> None:
        """Say in the header of a product which masters it was made with, and how good they were.

        Frames that are combined show the worst of all frames of the run. Changes its input.
        """
        combined = "NCOMBINE" in product.primary
        roots = list(self._used) if combined else ["", product.root]
        used = {found.sentence: found for root in roots for found in self._used.get(root, {}).values()}
        graded = [found for found in used.values() if found.grade is not None]
        worst = [int(found.grade) for found in graded if found.grade is not None] + self._inherited
        if not worst:
            return
        for kind, card in _KIND_CARDS.items():
            grades = [(int(found.grade), found) for found in graded if found.kind == kind and found.grade is not None]
            if grades:
                grade, found = max(grades, key=lambda pair: pair[0])
                product.primary[card] = (grade, f"Grade of {found.kind.replace('_', ' ')}")
        product.primary[GRADE_CARD] = (max(worst), _MEANING)
        for sentence in used:
            _add_history(product.primary, sentence)

    def _remember(self, root: str, found: Association) -> None:
        self._used.setdefault(root, {})[found.sentence] = found
        self._step[found.sentence] = found


def _add_history(header: Header, sentence: str) -> None:
    text = "".join(c if c.isascii() and c.isprintable() else "?" for c in sentence)
    told = "".join(str(line) for line in header.get("HISTORY", ()))
    # Cards cut a long sentence anywhere, and lose the blanks there.
    if text.replace(" ", "") not in told.replace(" ", ""):
        header.add_history(text)
