"""The wheel, and the files that name the release and its dependencies once more."""

import email
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import skmlp

ROOT = Path(__file__).parents[2]
if not (ROOT / "pyproject.toml").is_file():
    pytest.skip("no sources here", allow_module_level=True)
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# What is compiled at the user's is text here.
MOST_BYTES = 700_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built as an installation from source builds it."""
    folder = tmp_path_factory.mktemp("wheel")
    command = ["wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT]
    subprocess.run([sys.executable, "-m", "pip", *command], check=True, timeout=300)
    (path,) = folder.iterdir()
    return path


def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith("METADATA"))
        return email.message_from_string(archive.read(name).decode())


@pytest.mark.slow
def test_the_wheel_is_pure_small_and_only_the_package(wheel):
    assert wheel.name == f"skmlp-{skmlp.__version__}-py3-none-any.whl"
    assert wheel.stat().st_size < MOST_BYTES
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert "skmlp/py.typed" in names
    assert {name.partition("/")[0] for name in names} == {
        "skmlp",
        f"skmlp-{skmlp.__version__}.dist-info",
    }


@pytest.mark.slow
def test_links_of_the_description_leave_the_index(wheel):
    description = metadata(wheel).get_payload()
    targets = re.findall(r"\]\(([^)]+)\)", description)
    repository = PYPROJECT["project"]["urls"]["Repository"]
    assert len(targets) > 5
    assert all(target.startswith(("http", "#")) for target in targets)
    assert any(target.startswith(f"{repository}/blob/main/docs/") for target in targets)


@pytest.mark.slow
def test_the_wheel_fits_where_no_checkout_is(wheel, tmp_path):
    target = tmp_path / "site"
    command = ["install", "--quiet", "--no-deps", "--target", target, wheel]
    subprocess.run([sys.executable, "-m", "pip", *command], check=True, timeout=300)
    script = (
        "import skmlp; from sklearn.datasets import load_iris\n"
        "X, y = load_iris(return_X_y=True)\n"
        "model = skmlp.MLPClassifier(max_iter=500, random_state=0).fit(X, y)\n"
        "print(skmlp.__file__, model.score(X, y) > 0.9)"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": str(target), "SKMLP_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert found.stdout.split() == [str(target / "skmlp" / "__init__.py"), "True"]


def test_the_recipe_for_conda_has_the_same_dependencies():
    recipe = (ROOT / "conda" / "recipe.yaml").read_text()
    run = recipe.partition("  run:")[2].partition("tests:")[0]
    listed = {line.replace(" ", "") for line in re.findall(r"- (.+)", run)}
    python = f"python{PYPROJECT['project']['requires-python']}"
    assert listed == {python, *PYPROJECT["project"]["dependencies"]}
    host = recipe.partition("  host:")[2].partition("  run:")[0]
    for requirement in PYPROJECT["build-system"]["requires"]:
        assert requirement in host.replace(" ", "")


@pytest.mark.parametrize("name", ["CITATION.cff", "conda/recipe.yaml"])
def test_other_files_name_this_release(name):
    text = (ROOT / name).read_text()
    assert re.search(rf"^ *version: {re.escape(skmlp.__version__)}$", text, re.M)
    assert PYPROJECT["project"]["urls"]["Homepage"] in text


def test_the_address_of_the_repository_is_one():
    """Links of the description are made of what [project.urls] says."""
    repository = PYPROJECT["project"]["urls"]["Repository"]
    hook = PYPROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    (substitution,) = hook["substitutions"]
    assert substitution["replacement"].startswith(rf"\1({repository}/blob/main/")
    assert f"repository-code: {repository}\n" in (ROOT / "CITATION.cff").read_text()


def test_the_changelog_has_this_release():
    text = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(
        rf"^## {re.escape(skmlp.__version__)} - \d{{4}}-\d\d-\d\d$", text, re.M
    )
