"""The examples of docs/features.md run, and print what the page says that they print.

``python tests/project/test_features_page.py`` writes what is printed now into the page.
"""

from pathlib import Path

import pytest
from test_choosing_page import examples, run, same

PAGE = Path(__file__).parents[2] / "docs" / "features.md"


@pytest.mark.slow
def test_every_example_prints_what_the_page_says():
    names = {"__name__": "features"}
    for example in examples(PAGE.read_text()):
        printed = run(example, names, PAGE)
        assert same(printed, example.printed), f"{PAGE}:{example.line}\n{printed}"


def main():
    page, names = PAGE.read_text(), {"__name__": "features"}
    printed = [(run(example, names, PAGE), example.span) for example in examples(page)]
    for text, (start, end) in reversed(printed):
        page = page[:start] + text + page[end:]
    PAGE.write_text(page)


if __name__ == "__main__":
    main()
