"""The examples of the guide's pages run, and print what the pages say that they print.

Those of a page share one namespace and run in its order. ``python
tests/project/test_pages.py`` writes what is printed now into the pages; names of pages
after it write these only.
"""

import re
import sys
from pathlib import Path

import pytest
from test_choosing_page import examples, run, same

DOCS = Path(__file__).parents[2] / "docs"
NAMES = [
    "coming_from",
    "getting_started",
    "index",
    "inside",
    "preparing",
    "scaling",
    "text",
    "uncertainty",
]
QUICK = {"coming_from", "index"}
PAGES = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
    for name in NAMES
]


@pytest.mark.parametrize("name", PAGES)
def test_every_example_prints_what_the_page_says(name):
    path = DOCS / f"{name}.md"
    names = {"__name__": name}
    for example in examples(path.read_text()):
        printed = run(example, names, path)
        assert same(printed, example.printed), f"{path}:{example.line}\n{printed}"


@pytest.mark.parametrize("name", NAMES)
def test_every_link_to_a_file_leads_somewhere(name):
    page = (DOCS / f"{name}.md").read_text()
    for link in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page):
        assert (DOCS / link).exists(), link


def main(chosen):
    for name in chosen:
        path = DOCS / f"{name}.md"
        page, names = path.read_text(), {"__name__": name}
        printed = [
            (run(example, names, path), example.span) for example in examples(page)
        ]
        for text, (start, end) in reversed(printed):
            if start >= 0:
                page = page[:start] + text + page[end:]
        path.write_text(page)


if __name__ == "__main__":
    main(sys.argv[1:] or NAMES)
