"""The examples run as a new user runs them, each in a separate process.

Each must exit normally, print its key line and print nothing to the error stream, where
warnings go.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import skmlp

EXAMPLES = Path(__file__).parents[2] / "examples"
# The examples use the skmlp that the tests use, installed or not.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(skmlp.__file__).parent.parent)}
KEY_LINES = {
    "quickstart.py": r"skmlp is [\d.]+ times as fast\n.* any fitted weight: \d.*e-1\d",
    "grid_search.py": r"best parameters \{'mlp__alpha'",
    "tabular.py": r"skmlp: root mean squared error [45]\d\.\d",
    "unlabelled.py": r"by the gain alone: autoencoder, 0\.\d+. .* to 0\.[89]",
    "report.py": r"macro recall 0\.\d+: the plain mean",
    "imbalanced.py": r"Best log loss: no weights = threshold",
}


def test_every_example_is_listed():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(KEY_LINES)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(KEY_LINES))
def test_example_runs(name, tmp_path):
    done = subprocess.run(
        [sys.executable, EXAMPLES / name],
        cwd=tmp_path,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert re.search(KEY_LINES[name], done.stdout)
