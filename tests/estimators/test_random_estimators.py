"""Everything at once, as a user asks for it: random estimators, fitted twice.

As `test_combinations` does with a backend's steps, these tests draw every parameter of
the estimators and fit by the definition and by the kernels: what comes out must be the
same network.
"""

import functools

import numpy as np
import pytest
from numpy.testing import assert_allclose
from random_cases import NORMALIZATIONS, WIDTHS, Dealer, draw_settings
from rule_runners import LOSSES, targets_of
from scipy import sparse
from sklearn.base import clone

from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends import _MODULES
from skmlp.rules.activations import ACTIVATIONS
from skmlp.rules.losses import BINARY_LOSSES, COLUMN_LOSSES, MULTICLASS_LOSSES
from skmlp.rules.optimizers import OPTIMIZERS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.DeadUnitsWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.IneffectiveParameterWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.ValidationWarning"),
]

N_FITS, N_ROWS = 76, 40
NORMS = ("scales", "means", "variances")
LABELS = {
    "two": BINARY_LOSSES,
    "three": MULTICLASS_LOSSES,
    "any": BINARY_LOSSES,
    "columns": COLUMN_LOSSES,
}
_OF_LABELS = [row for table in LABELS.values() for row in table.values()]
REGRESSION = [row for row in LOSSES if row not in _OF_LABELS]


def draw_shape(dealer):
    """What both estimators are told of the network and its regularization."""
    depth = dealer.deal("depth", [0, 1, 1, 2, 3])
    return {
        "hidden_layer_sizes": [dealer.deal("width", WIDTHS) for _ in range(depth)],
        "activation": [dealer.deal("activation", [*ACTIVATIONS]) for _ in range(depth)],
        "fit_intercept": dealer.deal("intercepts", [True, True, False]),
        "alpha": dealer.deal("alpha", [0.0, 0.1]),
        "batch_size": dealer.one_of("auto", 7, 12),
        "early_stopping": dealer.deal("early_stopping", [True, False]),
        "validation_fraction": 0.2,
        "n_jobs": dealer.one_of(None, 1),
        "random_state": int(dealer.rng.integers(2**31)),
    }


def draw_training(dealer):
    """What only stochastic solvers are told."""
    settings = draw_settings(dealer).set_params(max_iter=3)
    if settings.solver == "lion":
        settings.set_params(alpha=0.3, fit_intercept=False)
    else:
        settings.set_params(
            normalization=dealer.deal("normalization", NORMALIZATIONS),
        )
    drawn = settings.get_params()
    default = MLPRegressor().get_params()
    return {name: drawn[name] for name in drawn if drawn[name] != default[name]} | {
        "dropout": dealer.deal("dropout", [0.0, 0.3]),
        "sampling": dealer.deal("sampling", [None, "weights"]),
        "max_norm": dealer.deal("max_norm", [None, 1.0]),
        "max_grad_norm": dealer.deal("max_grad_norm", [None, 0.3]),
    }


def draw_classifier(dealer):
    """A classifier and labels: of two or three classes, any of three, two columns."""
    kind = dealer.deal("labels", [*LABELS])
    loss, output = dealer.deal(f"losses of {kind}", [*LABELS[kind]])
    y = dealer.rng.integers(0, 2, (N_ROWS, 3))
    if kind == "columns":
        y = y[:, :2] + y[:, 2:]
    elif kind != "any":
        y = np.array(["no", "yes", "?"])[np.arange(N_ROWS) % (2 + (kind == "three"))]
    smoothing = dealer.one_of(0.0, 0.2) if loss == "log_loss" else 0.0
    return MLPClassifier(
        loss=loss,
        out_activation=output,
        label_smoothing=smoothing,
        class_weight=None if kind == "any" else dealer.one_of(None, "balanced"),
    ), y


def draw_regressor(dealer):
    row = dealer.deal("losses", REGRESSION)
    several = row.outputs_per_target == 0
    settings = {"power": 1.5, "delta": 0.8, "quantile": [0.1, 0.5] if several else 0.3}
    y = targets_of(row, N_ROWS, dealer.rng)
    loss = "quantile" if several else row.name
    y = y[:, 0] if several or dealer.flip() else y
    return MLPRegressor(loss=loss, out_activation=row.output, **settings), y


def draw_fit(dealer):
    """An estimator and what it is fitted to."""
    make = dealer.deal("kind", [draw_classifier, draw_regressor])
    estimator, y = make(dealer)
    estimator.set_params(**draw_shape(dealer))
    solver = dealer.deal("solver", ["lbfgs", *["stochastic"] * 5])
    if solver == "lbfgs":
        kind = dealer.one_of(None, "layer")
        estimator.set_params(solver=solver, max_iter=3, normalization=kind)
    else:
        estimator.set_params(**draw_training(dealer))
    x = dealer.rng.normal(size=(N_ROWS, 5)) * (dealer.rng.random((N_ROWS, 5)) < 0.7)
    weights = dealer.rng.integers(0, 4, N_ROWS) if dealer.flip() else None
    is_sparse = dealer.deal("sparse", [True, False])
    if not is_sparse and solver != "lbfgs":
        estimator.set_params(input_noise=dealer.one_of(0.0, 0.2))
    return estimator, (sparse.csr_array(x) if is_sparse else x, y, weights)


@functools.cache
def drawn():
    """All fits, and what was dealt."""
    dealer = Dealer(0)
    return [draw_fit(dealer) for _ in range(N_FITS)], dealer.dealt


def outcome(monkeypatch, backend, estimator, X, y, weights):
    """All that a fit by a backend leaves behind, as arrays."""
    monkeypatch.setitem(_MODULES, "cpu", f"skmlp.backends.{backend}")
    fitted = clone(estimator).fit(X, y, sample_weight=weights)
    norms = [getattr(fitted, f"norm_{name}_") or [] for name in NORMS]
    found = [*fitted.coefs_, *fitted.intercepts_, *(part for n in norms for part in n)]
    found += [fitted.history_["loss"], fitted.validation_scores_ or []]
    return [np.asarray(part) for part in [*found, fitted.predict(X)]]


@pytest.mark.parametrize("number", range(N_FITS))
def test_fits_equal_those_of_the_reference(monkeypatch, number):
    estimator, data = drawn()[0][number]
    expected = outcome(monkeypatch, "reference", estimator, *data)
    found = outcome(monkeypatch, "cpu", estimator, *data)
    for mine, theirs in zip(found, expected, strict=True):
        if theirs.dtype.kind == "U":
            assert np.array_equal(mine, theirs)
            continue
        # Running means and the like may be zero but for rounding.
        assert_allclose(mine, theirs, rtol=1e-7, atol=1e-9)


def test_every_parameter_is_drawn():
    fits, dealt = drawn()
    assert {row.name for row in dealt["losses"]} == {row.name for row in REGRESSION}
    for kind, table in LABELS.items():
        assert set(dealt[f"losses of {kind}"]) == set(table)
    assert set(dealt["activation"]) == set(ACTIVATIONS)
    solvers = {estimator.solver for estimator, _ in fits}
    assert solvers == {*OPTIMIZERS, "lbfgs"}
