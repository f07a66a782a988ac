"""The notebook runs from top to bottom and is committed as it ran.

`python tests/project/test_notebook.py` runs it and writes it back, outputs included, as
people read it on the web: without the times of the run, and with what a progress bar
showed last in place of a widget, which lives only as long as its kernel.
"""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from sklearn.utils import estimator_html_repr

import skmlp

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "first_steps.ipynb"
MAX_BYTES = 600_000
WIDGET = "application/vnd.jupyter.widget-view+json"
STATES = "application/vnd.jupyter.widget-state+json"
VARIABLES = {
    # The notebook uses the skmlp that the tests use, installed or not.
    "PYTHONPATH": str(Path(skmlp.__file__).parents[1]),
    # Warnings of what is not ours, as of a busy port.
    "PYDEVD_DISABLE_FILE_VALIDATION": "1",
}


def run(folder):
    """The notebook, executed by this Python in a folder."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    manager = client.create_kernel_manager()
    manager.kernel_spec.argv[0] = sys.executable
    environment = {**os.environ, **VARIABLES, "IPYTHONDIR": str(folder)}
    client.execute(env=environment)
    return with_plain_bars(notebook)


def with_plain_bars(notebook):
    """The notebook without widgets: what they showed last in their place."""
    states = notebook.metadata.pop("widgets", {}).get(STATES, {}).get("state", {})
    for cell in notebook.cells:
        shown = []
        for output in cell.get("outputs", []):
            widget = output.get("data", {}).get(WIDGET)
            if widget is None:
                shown.append(output)
                continue
            last = states[widget["model_id"]]["state"]["outputs"]
            shown += [nbformat.from_dict(each) for each in last]
        # A bar ends by printing nothing.
        shown = [each for each in shown if each.get("data", {}).get("text/plain", "-")]
        if "outputs" in cell:
            cell.outputs = shown
    return notebook


def kinds(notebook):
    """What each cell shows."""
    return [
        [
            output.get("name", "") + " ".join(sorted(output.get("data", {})))
            for output in cell.get("outputs", [])
        ]
        for cell in notebook.cells
    ]


def texts(notebook):
    """All that is printed or shown as text."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            yield output.get("text", "")
            yield from (str(text) for text in output.get("data", {}).values())


@pytest.fixture(scope="module")
def committed():
    return nbformat.read(NOTEBOOK, as_version=4)


def test_the_committed_notebook_has_run_in_order(committed):
    nbformat.validate(committed)
    code = [cell for cell in committed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    shown = "\n".join(text for cell in kinds(committed) for text in cell)
    assert shown.count("image/png") == 4
    assert WIDGET not in shown
    assert "stderr" not in shown


def test_the_committed_notebook_is_small_and_names_no_machine(committed):
    assert NOTEBOOK.stat().st_size < MAX_BYTES
    for text in texts(committed):
        assert str(Path.home()) not in text
        assert "/tmp" not in text
    assert not any("execution" in cell.metadata for cell in committed.cells)


def test_the_committed_diagram_has_links(committed):
    link = estimator_html_repr(skmlp.MLPRegressor())
    page = skmlp.MLPRegressor()._get_doc_link()
    assert page in link
    assert sum(page in text for text in texts(committed)) == 1


@pytest.mark.slow
def test_the_notebook_runs_and_shows_what_is_committed(committed, tmp_path):
    pytest.importorskip("sklearn.callback", reason="needs scikit-learn 1.9")
    notebook = run(tmp_path)
    assert kinds(notebook) == kinds(committed)
    (score,) = (text for text in texts(notebook) if text.startswith("R² on the test"))
    assert float(score.rpartition(" ")[2]) > 0.4
    sources = [cell.source for cell in notebook.cells]
    assert sources == [cell.source for cell in committed.cells]


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as empty:
        nbformat.write(run(empty), NOTEBOOK)
