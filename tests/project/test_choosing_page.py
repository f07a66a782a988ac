"""The guide's examples run, and print what the guide says that they print.

All blocks share one namespace and run in the page's order, as a reader pastes them.
Numbers may differ a little, since processors round differently and training amplifies
that. ``python tests/project/test_choosing_page.py`` writes what is printed now into the
page.
"""

import contextlib
import io
import math
import re
import warnings
from pathlib import Path
from typing import NamedTuple

import pytest
from sklearn.exceptions import ConvergenceWarning

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "choosing.md", DOCS / "imbalance.md"]
every_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
NUMBER = r"-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?"
BLOCK = re.compile(
    r"```python\n(?P<code>.*?)```\n"
    r"(?:\n```text\n(?P<printed>.*?)```\n)?",
    flags=re.DOTALL,
)


class Example(NamedTuple):
    """Code, the line of the page that it begins in, and what it prints."""

    code: str
    line: int
    printed: str
    span: tuple


def examples(page):
    return [
        Example(
            found["code"],
            page.count("\n", 0, found.start("code")),
            found["printed"] or "",
            found.span("printed"),
        )
        for found in BLOCK.finditer(page)
    ]


def run(example, names, path):
    """What a block prints; the lines of a traceback are those of the page."""
    code = compile("\n" * example.line + example.code, str(path), "exec")
    printed = io.StringIO()
    with warnings.catch_warnings(), contextlib.redirect_stdout(printed):
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        exec(code, names)
    return printed.getvalue()


def close(one, other):
    if one == other:
        return True
    a, b = (float(number.replace(",", "")) for number in (one, other))
    if "e" in one + other:
        return math.isclose(a, b, rel_tol=0.3)
    return math.isclose(a, b, rel_tol=0.1, abs_tol=0.02)


def same(printed, expected):
    """Whether two texts have the same words and about the same numbers."""
    texts = [re.split(f"({NUMBER})", text) for text in (printed, expected)]
    words, numbers = ([text[i::2] for text in texts] for i in (0, 1))
    words = [[word.split() for word in text] for text in words]
    return (
        words[0] == words[1]
        and len(numbers[0]) == len(numbers[1])
        and all(map(close, *numbers))
    )


def test_the_comparison_of_texts():
    assert same("a  0.951 b\n", "a 0.95 b\n")
    assert same("1.1e-05", "1.0e-05")
    assert not same("1.1e-05", "1.1e-04")
    assert not same("a 0.95 b", "c 0.95 b")
    assert not same("a 0.95", "a 0.75")
    assert not same("a 0.95", "a 0.95 0.95")


@pytest.mark.slow
@every_page
def test_every_example_prints_what_the_guide_says(path):
    names = {"__name__": path.stem}
    for example in examples(path.read_text()):
        printed = run(example, names, path)
        assert same(printed, example.printed), f"{path}:{example.line}\n{printed}"


@every_page
def test_every_section_has_an_example(path):
    page = path.read_text()
    sections = re.split(r"^## ", page, flags=re.MULTILINE)[1:]
    assert all("```python" in text and "```text" in text for text in sections)


@every_page
def test_the_table_leads_to_the_sections(path):
    page = path.read_text()
    headings = re.findall(r"^## (.*)", page, flags=re.MULTILINE)
    anchors = {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in headings}
    linked = set(re.findall(r"\]\(#([^)]*)\)", page))
    assert linked == anchors


def main(path):
    page, names = path.read_text(), {"__name__": path.stem}
    printed = [(run(example, names, path), example.span) for example in examples(page)]
    for text, (start, end) in reversed(printed):
        if start >= 0:
            page = page[:start] + text + page[end:]
    path.write_text(page)


if __name__ == "__main__":
    for page_path in PAGES:
        main(page_path)
