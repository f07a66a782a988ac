"""The README: its example prints what stands below it, its links lead somewhere."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
if not (ROOT / "README.md").is_file():
    pytest.skip("no README here", allow_module_level=True)
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_prints_what_stands_below_it():
    example, printed = re.search(
        r"```python\n(.*?)```\n\n```\n(.*?)```", TEXT, re.DOTALL
    ).groups()
    stdout = io.StringIO()
    with contextlib.redirect_stdout(stdout):
        exec(compile(example, "README.md", "exec"), {})
    assert stdout.getvalue() == printed


def test_links_lead_to_files():
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", TEXT)
    missing = [target for target in targets if not (ROOT / target).exists()]
    assert len(targets) > 10
    assert missing == []
