"""The check of the built site finds what it is for.

`.ci/run` builds the site and checks it; here the check is given faults to find.
"""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GOOD = """
<html><head><link rel="stylesheet" href="style.css"><link rel="canonical"
href="https://example.org/"></head><body id="top"><a href="sub/page.html#there">x</a>
<a href="#top">up</a><a href="https://example.org/elsewhere">other site</a>
<a href="sub/">folder</a><img src="data:image/png;base64,AAAA"></body></html>
"""
BAD = {
    '<a href="missing.html">x</a>': "leads to no file",
    '<a href="sub/page.html#nowhere">x</a>': "leads to no such place on its page",
    '<a href="#nowhere">x</a>': "leads to no such place on its page",
    '<img src="missing.png">': "leads to no file",
    '<script src="https://example.org/x.js"></script>': "is loaded from another site",
    '<link rel="stylesheet" href="//example.org/x.css">': "is loaded from another site",
}


def check(folder, addition=""):
    """Exit code and output of the check of a small site."""
    (folder / "sub").mkdir()
    (folder / "index.html").write_text(GOOD + addition)
    (folder / "style.css").touch()
    page = '<p id="there"><a href="../index.html">back</a></p>'
    (folder / "sub" / "page.html").write_text(page)
    (folder / "sub" / "index.html").write_text(page)
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "check_site.py", folder],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_a_good_site_passes(tmp_path):
    assert check(tmp_path) == (0, "0 broken links\n")


@pytest.mark.parametrize("addition", BAD)
def test_a_fault_is_found(addition, tmp_path):
    code, output = check(tmp_path, addition)
    assert code == 1
    assert output.endswith(f"{BAD[addition]}\n1 broken links\n")


def test_a_folder_without_a_site_is_an_error(tmp_path):
    command = [sys.executable, ROOT / "docs" / "check_site.py", tmp_path]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 1


def test_ci_builds_the_site_by_the_command_of_the_guide():
    (command,) = (
        line
        for line in (ROOT / "CONTRIBUTING.md").read_text().splitlines()
        if "-m sphinx" in line
    )
    assert command in (ROOT / ".ci" / "run").read_text().splitlines()
