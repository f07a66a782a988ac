"""Every cell of docs/reliability.md that names a test names one that exists."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = TESTS.parent / "docs" / "reliability.md"


def test_the_page_names_tests_that_exist():
    text = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", text))
    sources = [path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py")]
    there = set(re.findall(r"^def (test_\w+)\(", "\n".join(sources), re.MULTILINE))
    assert len(named) > 30
    assert named <= there


def test_every_row_of_the_promise_names_a_test():
    text = PAGE.read_text(encoding="utf-8")
    table = text.partition("| --- |")[2].partition("\n\n")[0]
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    assert len(rows) > 15
    assert all("`test_" in row.split("|")[2] for row in rows)
