from __future__ import annotations

from pathlib import Path

from keyhole.cli import caldb
from keyhole.cli.rules import rule_table

DOCS = Path(__file__).parents[2] / "docs" / "calibrations.md"


def test_the_table_of_the_documentation_is_that_of_the_code():
    _, _, rest = DOCS.read_text().partition("<!-- caldb rules -->\n")
    shown, _, _ = rest.partition("\n<!-- end -->")
    assert shown == rule_table("GNIRS"), "run: python scripts/calibration_docs.py"


def test_the_table_has_a_row_for_each_rule_and_says_limits_and_tolerances(capsys):
    assert caldb.main(["rules"]) == 0
    out = capsys.readouterr().out
    rows = {line.split(" | ")[0].removeprefix("| "): line for line in out.splitlines()[2:]}
    assert list(rows) == [
        "master dark",
        "master flat",
        "master bad-pixel mask",
        "raw dark",
        "raw flat",
        "raw lamp-off flat",
    ]
    assert "total exposure (within 0.01 s) | less than 90 days before or after" in rows["master dark"]
    assert "| any time | 90 days away or more, " in rows["master flat"]
    assert "any time before, never after" in rows["master bad-pixel mask"]
    assert "less than 1 day before or after" in rows["raw lamp-off flat"]
