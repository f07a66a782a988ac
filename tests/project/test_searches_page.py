"""The examples of docs/searches.md print what the page says.

They run in a process of their own, since they start workers, and without its warnings,
which are those of Dask, dask-ml and Optuna. ``python
tests/project/test_searches_page.py`` writes what is printed now into the page.
"""

import re
import sys
from pathlib import Path

import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from subprocesses import run_apart
from test_choosing_page import examples, same

PAGE = Path(__file__).parents[2] / "docs" / "searches.md"
NEEDED = ("distributed", "dask_ml.wrappers", "optuna_integration.dask")
SECONDS = 300


def printed_by(*sources):
    """What blocks of code print, run in one namespace in turn."""
    import contextlib
    import io

    names, printed = {"__name__": "searches"}, []
    for source in sources:
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            exec(source, names)
        printed.append(text.getvalue())
    return printed


def outputs(page):
    sources = [example.code for example in examples(page)]
    return run_apart(printed_by, *sources, timeout=SECONDS)


@pytest.mark.slow
def test_every_example_prints_what_the_page_says():
    for name in NEEDED:
        pytest.importorskip(name)
    page = PAGE.read_text(encoding="utf-8")
    for example, printed in zip(examples(page), outputs(page), strict=True):
        assert same(printed, example.printed), f"{PAGE}:{example.line}\n{printed}"


def test_every_link_leads_somewhere():
    page = PAGE.read_text(encoding="utf-8")
    headings = re.findall(r"^## (.*)", page, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)#?([^)]*)\)", page):
        assert path or anchor in anchors, anchor
        assert (PAGE.parent / path).exists(), path


def main():
    page = PAGE.read_text(encoding="utf-8")
    found = [*zip(outputs(page), examples(page), strict=True)]
    for printed, example in reversed(found):
        start, end = example.span
        if start >= 0:
            page = page[:start] + printed + page[end:]
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
