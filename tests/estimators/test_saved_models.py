"""Saved models: those of all releases load, and what is in a file.

`pickles/` has a folder for each release, written by its script.
"""

import copy
import io
import json
import pickle
import runpy
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import joblib
import numpy as np
import pytest
from sklearn import exceptions as of_sklearn

import skmlp
from skmlp import MLPClassifier
from skmlp.exceptions import InconsistentVersionWarning

skops_io = pytest.importorskip("skops.io")

FOLDER = Path(__file__).parent / "pickles"
WRITE = runpy.run_path(str(FOLDER / "write.py"))
FILES = sorted(FOLDER.glob("*/*.pickle"))
X, CODES = WRITE["X"], WRITE["CODES"]
TABLES = {"preprocessor": WRITE["TABLE"], "tabular": WRITE["TABLE"]}
ROWS = {"sparse": WRITE["SPARSE"], "binary": X.astype("f4"), "lbfgs": X.astype("f4")}

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore::skmlp.exceptions.PoorFitWarning",
    "ignore::skmlp.exceptions.IneffectiveParameterWarning",
)


def loaded(path):
    """The model of a file; it warns if another release has written it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = pickle.loads(path.read_bytes())
    kinds = {each.category for each in caught}
    is_other = path.parent.name != skmlp.__version__
    assert kinds == ({InconsistentVersionWarning} if is_other else set())
    return model


def rows_of(path):
    return (TABLES | ROWS).get(path.stem, X)


def outputs_of(path):
    """What the model of a file predicted when it was written, by method."""
    with np.load(path.parent / "outputs.npz") as outputs:
        names = [name for name in outputs if name.startswith(f"{path.stem}.")]
        return {name.partition(".")[2]: outputs[name] for name in names}


def test_this_release_has_its_models():
    folders = {path.parent.name for path in FILES}
    assert skmlp.__version__ in folders
    assert all((FOLDER / name / "outputs.npz").exists() for name in folders)
    assert all(path.stat().st_size < 40_000 for path in FILES)
    names = {path.stem for path in FILES if path.parent.name == skmlp.__version__}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert names == {name for name, *_ in WRITE["models"]()}


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_models_of_all_releases(path):
    model, outputs = loaded(path), outputs_of(path)
    again = pickle.loads(pickle.dumps(model))
    for method in set(outputs) - {"further"}:
        expected = outputs[method]
        for each in (model, again):
            found = np.asarray(getattr(each, method)(rows_of(path)))
            assert found.dtype == expected.dtype
            if expected.dtype.kind != "f":
                assert np.array_equal(found, expected)
            else:
                is_double = expected.dtype == np.float64 and path.stem != "tabular"
                rtol = 1e-11 if is_double else 1e-5
                np.testing.assert_allclose(found, expected, rtol=rtol, atol=rtol)
    if "further" in outputs:
        found = WRITE["further"](model)
        np.testing.assert_allclose(found, outputs["further"], rtol=1e-10)


def test_another_release_warns_as_scikit_learn_does():
    model = MLPClassifier(hidden_layer_sizes=(3,), max_iter=2).fit(X, CODES)
    data = pickle.dumps(model, protocol=4)
    version = skmlp.__version__
    other = data.replace(version.encode(), b"9" * len(version))
    assert other != data
    with pytest.warns(InconsistentVersionWarning) as caught:
        again = pickle.loads(other)
    assert np.array_equal(again.predict(X), model.predict(X))
    (warning,) = [each.message for each in caught]
    assert isinstance(warning, of_sklearn.InconsistentVersionWarning)
    assert (warning.estimator_name, warning.current_version) == (
        "MLPClassifier",
        version,
    )
    assert f"saved by skmlp {'9' * len(version)} and is loaded by skmlp {version}" in (
        str(warning)
    )
    assert caught[0].filename == __file__
    # Copies are of this release.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle.loads(pickle.dumps(again))
        copy.deepcopy(model)


@pytest.mark.parametrize("name", ["preprocessor", "tabular"])
def test_estimators_for_tables_warn_too(name):
    (path,) = [p for p in FILES if p.stem == name and p.parent.name == "0.1.0"]
    old = b"0.0.7"
    with pytest.warns(InconsistentVersionWarning, match=r"saved by skmlp 0\.0\.7"):
        pickle.loads(path.read_bytes().replace(b"0.1.0", old))


BLOCKED = """
    import json, pickle, sys, warnings
    for name in ("numba", "llvmlite", "cuda"):
        sys.modules[name] = None
    warnings.simplefilter("ignore")
    import numpy as np
    n_loaded = 0
    for path in json.loads(sys.argv[1]):
        with open(path, "rb") as file:
            model = pickle.load(file)
        repr(model), vars(model), model.get_params()
        n_loaded += 1
        if hasattr(model, "coefs_"):
            assert all(np.isfinite(coef).all() for coef in model.coefs_)
            assert pickle.loads(pickle.dumps(model)).n_layers_ == model.n_layers_
    x = np.asarray(json.loads(sys.argv[2]))
    theirs = model.to_sklearn()
    try:
        model.predict(x)
    except ImportError as error:
        assert "numba" in str(error)
    else:
        raise AssertionError("predictions need Numba")
    print(json.dumps([n_loaded, theirs.predict(x).tolist()]))
"""


def test_loading_needs_neither_numba_nor_a_gpu():
    last = FOLDER / skmlp.__version__ / "regressor.pickle"
    paths = [str(path) for path in FILES if path != last] + [str(last)]
    script = [sys.executable, "-c", textwrap.dedent(BLOCKED)]
    arguments = [json.dumps(paths), json.dumps(X.tolist())]
    done = subprocess.run(
        [*script, *arguments], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    n_loaded, predicted = json.loads(done.stdout)
    assert n_loaded == len(FILES)
    np.testing.assert_allclose(predicted, outputs_of(last)["predict"], rtol=1e-11)


def weights(model):
    return sum(array.nbytes for array in (*model.coefs_, *model.intercepts_))


@pytest.mark.parametrize(
    "settings",
    [{}, {"solver": "sgd"}, {"early_stopping": True}, {"normalization": "batch"}],
)
def test_a_file_without_the_state_of_the_training(settings):
    common = {"hidden_layer_sizes": (300,), "max_iter": 3, "random_state": 0}
    model = MLPClassifier(**common, **settings).fit(X, CODES)
    expected, curve = model.predict_proba(X), list(model.loss_curve_)
    n_before = len(pickle.dumps(model))
    assert n_before > 2 * weights(model)
    assert model.drop_training_state() is model
    data = pickle.dumps(model)
    assert len(data) < 1.25 * weights(model) + 8000
    again = pickle.loads(data)
    for each in (model, again):
        assert np.array_equal(each.predict_proba(X), expected)
        assert each.loss_curve_ == curve
        with pytest.raises(ValueError, match="or its state was dropped"):
            each.resume(X, CODES, max_iter=9)
    assert set(vars(again)) == set(vars(model))


def test_an_ensemble_has_no_state_of_the_training():
    (path,) = [p for p in FILES if p.stem == "tabular" and p.parent.name == "0.1.0"]
    members = loaded(path).members_
    assert members
    assert not any(hasattr(member, "_optimizer") for member in members)


def test_a_training_after_its_state_was_dropped():
    """It goes on from the weights, with the moments of a new optimizer."""
    common = {"hidden_layer_sizes": (4,), "max_iter": 3, "shuffle": False}
    model = MLPClassifier(**common, random_state=0).fit(X, CODES)
    kept = copy.deepcopy(model).partial_fit(X, CODES)
    fresh = MLPClassifier(**common, random_state=0)
    for name in ("coefs_", "intercepts_", "classes_", "out_activation_"):
        setattr(fresh, name, copy.deepcopy(getattr(model, name)))
    model.drop_training_state().partial_fit(X, CODES)
    fresh.partial_fit(X, CODES)
    assert np.array_equal(model.coefs_[0], fresh.coefs_[0])
    assert not np.array_equal(model.coefs_[0], kept.coefs_[0])
    assert len(model.loss_curve_) == 4
    model.set_params(warm_start=True).fit(X, CODES)
    assert len(model.loss_curve_) == 7


def test_dropping_twice_and_before_a_fit():
    model = MLPClassifier((4,), max_iter=2, random_state=0)
    assert not vars(model.drop_training_state()).keys() & {"coefs_", "_history"}
    model.fit(X, CODES).drop_training_state().drop_training_state()
    assert pickle.loads(pickle.dumps(model)).n_layers_ == 3


@pytest.mark.parametrize("path", FILES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_skops_has_to_trust_public_estimators_alone(path):
    model = loaded(path)
    data = skops_io.dumps(model)
    untrusted = skops_io.get_untrusted_types(data=data)
    assert untrusted
    assert all(name.rpartition(".")[0] == "skmlp" for name in untrusted)
    again = skops_io.loads(data, trusted=untrusted)
    for method in set(outputs_of(path)) - {"further"}:
        found, expected = (
            np.asarray(getattr(each, method)(rows_of(path))) for each in (again, model)
        )
        assert np.array_equal(found, expected)


def test_joblib_maps_the_weights(tmp_path):
    model = MLPClassifier((50,), max_iter=2, random_state=0).fit(X, CODES)
    joblib.dump(model, tmp_path / "model")
    again = joblib.load(tmp_path / "model", mmap_mode="r")
    assert not again.coefs_[0].flags.writeable
    assert np.array_equal(again.predict_proba(X), model.predict_proba(X))
    buffer = io.BytesIO()
    joblib.dump(again, buffer)
    assert buffer.tell() > 0
