"""The gallery's scripts run alone, without a display, and draw.

Each runs in a process of its own, as somebody who has copied it would run it. A
`UserWarning` is an error there, so that no page of the site shows one.
"""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import skmlp

GALLERY = Path(__file__).parents[2] / "examples" / "gallery"
SCRIPTS = sorted(GALLERY.glob("*/plot_*.py"))
QUICK = {"plot_gaussian", "plot_saturation"}
# What a reader has who has installed the extra `docs`.
ALLOWED = {
    "matplotlib",
    "numpy",
    "pandas",
    "skmlp",
    "sklearn",
    "threadpoolctl",
}
# Deprecations are between matplotlib and what it imports.
WARNINGS = ["-W", "error::UserWarning", "-W", "ignore::DeprecationWarning"]
# Saves what is drawn when the script ends, since nothing shows it.
DRIVER = """
import runpy, sys
import matplotlib.pyplot as plt
runpy.run_path(sys.argv[1], run_name="__main__")
for number in plt.get_fignums():
    plt.figure(number).savefig(f"{number}.png")
"""
each_script = pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)


def environment():
    """That of a machine without a display, with the skmlp that the tests use."""
    package = str(Path(skmlp.__file__).parent.parent)
    variables = {**os.environ, "MPLBACKEND": "Agg", "PYTHONPATH": package}
    variables.pop("DISPLAY", None)
    return variables


def test_the_gallery_is_large_enough():
    assert len(SCRIPTS) >= 18
    assert {path.stem for path in SCRIPTS} >= QUICK


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(
            path,
            id=path.stem,
            marks=() if path.stem in QUICK else pytest.mark.slow,
        )
        for path in SCRIPTS
    ],
)
def test_a_script_runs_and_draws(path, tmp_path):
    pytest.importorskip("matplotlib")
    if "rich" in path.read_text():
        pytest.importorskip("rich")
    done = subprocess.run(
        [sys.executable, *WARNINGS, "-c", DRIVER, path],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    pictures = [*tmp_path.glob("*.png")]
    assert pictures
    assert all(picture.stat().st_size > 2000 for picture in pictures)


@each_script
def test_a_script_can_be_copied_alone(path):
    tree = ast.parse(path.read_text())
    imported = {
        name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [node.module]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
        )
    }
    assert imported - set(sys.stdlib_module_names) <= ALLOWED
    # Data come with scikit-learn or are made: nothing is downloaded or read.
    assert not re.search(r"\bfetch_|read_csv|open\(", path.read_text())


@each_script
def test_a_script_has_a_title_and_says_what_it_shows(path):
    title, rule, blank, *text = ast.get_docstring(
        ast.parse(path.read_text())
    ).splitlines()
    assert rule == "=" * len(title)
    assert blank == ""
    assert len(" ".join(text)) > 80


def test_every_folder_of_the_gallery_has_a_heading():
    for folder in {path.parent for path in SCRIPTS}:
        title, rule, *_ = (folder / "README.rst").read_text().splitlines()
        assert rule == "-" * len(title)
