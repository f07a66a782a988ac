"""The HTML view of an estimator links to the pages of its documentation."""

import html
import inspect
import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest
import sklearn
from sklearn.feature_selection import SelectFromModel
from sklearn.utils import estimator_html_repr
from sklearn.utils.fixes import parse_version

import skmlp
from skmlp._project import DOCUMENTATION_URL

ROOT = Path(__file__).parents[2]
ESTIMATORS = [
    skmlp.HiddenFeatures(skmlp.MLPClassifier()),
    skmlp.MLPAutoencoder(),
    skmlp.MLPClassifier(),
    skmlp.MLPRegressor(),
    skmlp.TabularMLPClassifier(),
    skmlp.TabularMLPRegressor(),
    skmlp.TabularPreprocessor(),
]
# Since then each parameter has a link.
LINKS_PARAMETERS = parse_version(sklearn.__version__) >= parse_version("1.8")


def page(estimator):
    return f"{DOCUMENTATION_URL}generated/skmlp.{type(estimator).__name__}.html"


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: type(each).__name__)
def test_the_question_mark_leads_to_the_page_of_the_class(estimator):
    text = estimator_html_repr(estimator)
    links = re.findall(r'<a class="sk-estimator-doc-link[^>]*href="([^"]*)">', text)
    assert page(estimator) in links


@pytest.mark.skipif(not LINKS_PARAMETERS, reason="needs scikit-learn 1.8")
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: type(each).__name__)
def test_every_parameter_leads_to_its_entry(estimator):
    text = estimator_html_repr(estimator)
    links = re.findall(r'param-doc-link"\s[^>]*href="([^"]*)"', text)
    links = [html.unescape(link) for link in links if link.startswith(page(estimator))]
    fragments = [link.removeprefix(page(estimator)) for link in links]
    document = inspect.getdoc(type(estimator))
    parameters = inspect.signature(type(estimator)).parameters
    found = {}
    for fragment in fragments:
        # The text that a browser looks for: the name, and what stands behind it.
        name, kind = re.fullmatch(r"#:~:text=(.*),-(.*)", fragment).groups()
        found[unquote(name)] = unquote(kind)
    assert set(found) >= set(parameters)
    for name in parameters:
        assert f"\n{name} : {found[name]}\n" in document


def test_classes_of_users_have_no_page():
    class Mine(skmlp.MLPClassifier):
        pass

    assert Mine()._get_doc_link() == ""
    assert "scikit-learn.org" in SelectFromModel(Mine())._get_doc_link()


def test_the_address_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["urls"]["Documentation"] == DOCUMENTATION_URL
