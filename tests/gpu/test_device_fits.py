"""Fits of the estimators with ``device="cuda"``, compared with fits on the CPU.

In float64 the two differ by the order of sums only.
"""

import logging
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
from numba import cuda
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris, load_wine
from sklearn.preprocessing import StandardScaler

from skmlp import MLPAutoencoder, MLPClassifier, MLPRegressor
from skmlp.backends.cuda.runtime import device as gpu
from skmlp.backends.cuda.runtime import device_cache

SETTINGS = {
    "hidden_layer_sizes": (9, 5),
    "dtype": "float64",
    "random_state": 0,
    "batch_size": 16,
    "max_iter": 3,
}
pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Batches for all solvers, 'lbfgs' included.
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.IneffectiveParameterWarning"),
]


def iris():
    x, y = load_iris(return_X_y=True)
    return StandardScaler().fit_transform(x)[::4], y[::4]


def wine():
    """Two measurements of wines as targets, six others as features."""
    x = StandardScaler().fit_transform(load_wine().data)[::5]
    return x[:, :6], x[:, 6:8]


def fitted_on_both(model, fit):
    """The model fitted on the CPU and on the GPU."""
    models = []
    for device in ("cpu", "cuda"):
        fitted = clone(model).set_params(device=device)
        fit(fitted)
        assert fitted.device_ == device
        models.append(fitted)
    return models


def _arrays_of(model):
    return *model.coefs_, *model.intercepts_, *(model.embedding_weights_ or ())


def assert_same_models(cpu, cuda, x):
    for mine, theirs in zip(*(_arrays_of(model) for model in (cuda, cpu)), strict=True):
        assert isinstance(mine, np.ndarray)
        assert mine.dtype == theirs.dtype
        assert_allclose(mine, theirs, rtol=1e-6, atol=1e-8)
    assert cuda.n_iter_ == cpu.n_iter_
    assert_allclose(cuda.loss_, cpu.loss_, rtol=1e-6)
    assert_allclose(cuda.predict(x), cpu.predict(x), rtol=1e-6, atol=1e-8)


CLASSIFIERS = {
    "adam": {},
    "sgd with momentum": {"solver": "sgd", "learning_rate": "adaptive"},
    "batch norm, dropout": {"normalization": "batch", "dropout": 0.3},
    "layer norm": {"normalization": "layer", "activation": "gelu"},
    "early stopping": {"early_stopping": True, "max_iter": 6, "n_iter_no_change": 2},
    "L-BFGS": {"solver": "lbfgs", "max_iter": 8},
    "hinge": {"loss": "hinge", "alpha": 0.1},
    "embedding": {
        "embedding": "piecewise_linear",
        "n_bins": 4,
        "embedding_learning_rate_factor": 0.5,
    },
}


@pytest.mark.parametrize("case", CLASSIFIERS)
def test_classifiers(case):
    x, y = iris()
    model = MLPClassifier(**{**SETTINGS, **CLASSIFIERS[case]})
    cpu, cuda = fitted_on_both(model, lambda model: model.fit(x, y))
    assert_same_models(cpu, cuda, x)
    if case != "hinge":
        assert_allclose(
            cuda.predict_proba(x), cpu.predict_proba(x), rtol=1e-6, atol=1e-9
        )
    if case == "early stopping":
        assert_array_equal(cuda.validation_scores_, cpu.validation_scores_)


REGRESSORS = {
    "several outputs": {},
    "gaussian": {"loss": "gaussian_nll"},
    "noise and clipping": {"input_noise": 0.1, "max_norm": 1.0, "max_grad_norm": 0.5},
}


@pytest.mark.parametrize("case", REGRESSORS)
def test_regressors(case):
    x, y = wine()
    model = MLPRegressor(**{**SETTINGS, **REGRESSORS[case]})
    cpu, cuda = fitted_on_both(model, lambda model: model.fit(x, y))
    assert_same_models(cpu, cuda, x)


@pytest.mark.parametrize("early_stopping", [False, True])
def test_validation_data_of_lbfgs(early_stopping):
    """They are evaluated after every iteration."""
    x, y = wine()
    settings = {"solver": "lbfgs", "early_stopping": early_stopping, "max_iter": 6}
    model = MLPRegressor(**{**SETTINGS, **settings})
    cpu, cuda = fitted_on_both(
        model, lambda model: model.fit(x[:25], y[:25], X_val=x[25:], y_val=y[25:])
    )
    assert_same_models(cpu, cuda, x)
    for measured in ("validation_loss", "validation_score"):
        assert_allclose(cuda.history_[measured], cpu.history_[measured], rtol=1e-6)
    assert len(set(cuda.history_["validation_loss"])) > 1


def test_sparse_rows_with_weights():
    x, y = iris()
    x = sparse.csr_matrix(np.where(x > 0.3, x, 0.0))
    weights = np.random.default_rng(0).uniform(0.5, 2, len(y))
    cpu, cuda = fitted_on_both(
        MLPClassifier(**SETTINGS), lambda model: model.fit(x, y, sample_weight=weights)
    )
    assert_same_models(cpu, cuda, x)


def test_float32_is_the_default_of_the_device():
    x, y = iris()
    model = MLPClassifier(**{**SETTINGS, "dtype": None, "device": "cuda"}).fit(x, y)
    assert model.coefs_[0].dtype == np.float32
    exact = MLPClassifier(**SETTINGS).fit(x, y)
    assert_allclose(model.coefs_[0], exact.coefs_[0], rtol=1e-3, atol=1e-4)


def test_partial_fit():
    x, y = iris()

    def fit(model):
        for part in np.array_split(np.arange(len(y)), 2):
            model.partial_fit(x[part], y[part], classes=[0, 1, 2])

    cpu, cuda = fitted_on_both(MLPClassifier(**SETTINGS), fit)
    assert_same_models(cpu, cuda, x)


def test_warm_start():
    x, y = iris()
    model = MLPClassifier(**SETTINGS, warm_start=True)
    cpu, cuda = fitted_on_both(model, lambda model: model.fit(x, y).fit(x, y))
    once = clone(cuda).fit(x, y)
    assert not np.array_equal(once.coefs_[0], cuda.coefs_[0])
    assert_same_models(cpu, cuda, x)


def test_a_fit_is_repeatable_to_the_bit():
    x, y = iris()
    model = MLPClassifier(**SETTINGS, device="cuda", dropout=0.2)
    one, other = model.fit(x, y).coefs_, clone(model).fit(x, y).coefs_
    for mine, theirs in zip(one, other, strict=True):
        assert_array_equal(mine, theirs)


PREDICT = """
import pickle, sys, numpy as np
model, x = pickle.load(open(sys.argv[1], "rb"))
np.save(sys.argv[2], model.predict_proba(x))
assert not any(name.startswith("numba.cuda") for name in sys.modules)
"""


def test_a_pickled_model_predicts_where_there_is_no_gpu(tmp_path):
    x, y = iris()
    model = MLPClassifier(**SETTINGS, device="cuda").fit(x, y)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict_proba(x), model.predict_proba(x))
    source, target = tmp_path / "model.pickle", tmp_path / "predicted.npy"
    source.write_bytes(pickle.dumps((model, x)))
    hidden = {"CUDA_VISIBLE_DEVICES": "", "NUMBA_ENABLE_CUDASIM": "0"}
    paths = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    subprocess.run(
        [sys.executable, "-c", PREDICT, source, target],
        env={**os.environ, **hidden, **paths},
        check=True,
    )
    assert_allclose(np.load(target), model.predict_proba(x), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("free", "expected"), [(2**30, "cuda"), (2000, "cpu")])
def test_auto_uses_the_cpu_for_a_sparse_x_that_does_not_fit(
    monkeypatch, caplog, free, expected
):
    x, y = iris()
    device_cache.current().evict()  # which counts as available
    context = type(cuda.current_context())
    monkeypatch.setattr(context, "get_memory_info", lambda self: (free, 2**31))
    monkeypatch.setattr(gpu, "worth_it", lambda *_: (True, "much work"))
    caplog.set_level(logging.INFO, logger="skmlp")
    rows = sparse.csr_array(x)
    model = MLPClassifier(**SETTINGS, device="auto").fit(rows, y)
    assert model.device_ == expected
    (line,) = caplog.messages
    assert ("(sparse X takes 0.0 MiB there" in line) == (expected == "cpu")


@pytest.mark.parametrize("loss", ["squared_error", "log_loss"])
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_array])
def test_an_autoencoder_is_the_cpus(loss, convert):
    x = convert(load_iris().data[::4] / 8)
    settings = {**SETTINGS, "hidden_layer_sizes": (5, 2, 4), "activation": "tanh"}
    model = MLPAutoencoder(loss=loss, layer=1, **settings)
    cpu, cuda_model = fitted_on_both(model, lambda fitted: fitted.fit(x))
    for method in ("transform", "reconstruct", "score_samples"):
        expected, found = (getattr(each, method)(x) for each in (cpu, cuda_model))
        assert_allclose(found, expected, rtol=1e-8, atol=1e-10)
    code = cpu.transform(x)
    expected = cpu.inverse_transform(code)
    assert_allclose(cuda_model.inverse_transform(code), expected, rtol=1e-8, atol=1e-10)


def test_chunks():
    x, y = iris()

    def make_chunks():
        for start in range(0, len(x), 9):
            yield x[start : start + 9], y[start : start + 9]

    settings = {**SETTINGS, "batch_size": 8, "dropout": 0.2, "max_iter": 2}
    on_cpu, on_gpu = fitted_on_both(
        MLPClassifier(**settings),
        lambda model: model.fit_batches(make_chunks, buffer_rows=18, X_val=x, y_val=y),
    )
    assert_allclose(on_gpu.loss_curve_, on_cpu.loss_curve_, rtol=1e-9)
    assert_allclose(
        on_gpu.validation_loss_curve_, on_cpu.validation_loss_curve_, rtol=1e-9
    )
