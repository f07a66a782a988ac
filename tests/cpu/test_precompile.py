"""`skmlp.precompile` compiles everything that later fits need.

Counted in fresh processes: at its first use in a process, every kernel and every loop
of a rule is looked up in the disk cache, whether the cache has it or not.
"""

import pytest
from sklearn.utils._param_validation import InvalidParameterError
from subprocesses import run_apart

import skmlp
from skmlp.rules.activations import ACTIVATIONS
from skmlp.rules.losses import BINARY_LOSSES, REGRESSION_LOSSES

CLASSIFIER, REGRESSOR = "MLPClassifier", "MLPRegressor"


def first_uses(arguments, fits):
    """Number of kernels that precompile uses, and those that each later fit adds."""
    import warnings

    import numpy as np

    import skmlp
    from skmlp.compiler.disk_cache import KernelCache

    used = []
    load = KernelCache.load_overload

    def watched(cache, *arguments):
        used.append(cache._key)
        return load(cache, *arguments)

    KernelCache.load_overload = watched
    with warnings.catch_warnings(action="error"):
        skmlp.precompile(**arguments)
    uses = [len(used)]
    x = np.random.default_rng(0).uniform(size=(30, 4))
    targets = {"MLPClassifier": [np.arange(30) % 2, np.arange(30) % 3]}
    targets["MLPClassifier"].append(np.eye(3, dtype=int)[np.arange(30) % 3])
    targets["MLPRegressor"] = [1 + x[:, 0], 1 + x[:, :2]]
    for estimator, settings in fits:
        used.clear()
        several = isinstance(settings.get("quantile"), list)
        of_loss = targets[estimator][:1] if several else [*targets[estimator]]
        if settings.get("loss") == "log_loss" and estimator == "MLPClassifier":
            of_loss.append(np.column_stack(of_loss[:2]))
        elif settings.get("loss") == "log_loss":
            of_loss = [y - 1 for y in of_loss]  # shares
        for y in of_loss:
            model = getattr(skmlp, estimator)(max_iter=2, random_state=0, **settings)
            model.fit(x, y, X_val=x, y_val=y).predict(x)
            if hasattr(model, "predict_proba"):
                model.predict_proba(x)
        uses.append(sorted(set(used)))
    return uses


def with_all_losses(**settings):
    """Fits of both estimators with each of their losses."""
    tables = {CLASSIFIER: BINARY_LOSSES, REGRESSOR: REGRESSION_LOSSES}
    fits = [
        (estimator, {"loss": name, **settings})
        for estimator, table in tables.items()
        for name, _ in table
    ]
    several = {"loss": "quantile", "quantile": [0.1, 0.2], **settings}
    return [*fits, (REGRESSOR, several)]


@pytest.mark.slow
def test_the_defaults_cover_those_of_scikit_learn():
    fits = [
        (CLASSIFIER, {}),
        (REGRESSOR, {}),
        (REGRESSOR, {"loss": "poisson"}),
        (CLASSIFIER, {"solver": "lbfgs"}),
        (CLASSIFIER, {"activation": "mish"}),
    ]
    n_used, *uses, other = run_apart(first_uses, {"dtype": "float64"}, fits)
    assert n_used > 0
    assert uses == [[]] * 4
    # The test would notice a kernel that was not precompiled.
    assert any("mish" in key for key in other)


@pytest.mark.slow
def test_all_activations_and_losses():
    common = {"dtype": "float32", "solver": "sgd"}
    fits = [(CLASSIFIER, {"activation": name, **common}) for name in ACTIVATIONS]
    fits += with_all_losses(**common)
    arguments = {"activation": "all", "loss": "all", **common}
    n_used, *uses = run_apart(first_uses, arguments, fits)
    assert n_used > 2 * len(ACTIVATIONS)
    assert uses == [[]] * len(fits)


@pytest.mark.slow
@pytest.mark.parametrize("normalization", ["batch", "layer"])
def test_named_activations_and_losses(normalization):
    common = {"dtype": "float64", "solver": "sgd", "normalization": normalization}
    arguments = {"activation": ["gelu", "softmax"], "loss": ["huber", "hinge"]}
    fits = [
        (REGRESSOR, {"activation": "gelu", "loss": "huber"}),
        (CLASSIFIER, {"activation": "softmax", "loss": "hinge"}),
        (REGRESSOR, {"activation": "gelu", "loss": "log_cosh"}),
        (CLASSIFIER, {"activation": "erf", "loss": "hinge"}),
    ]
    fits = [(estimator, {**settings, **common}) for estimator, settings in fits]
    _, *uses = run_apart(first_uses, {**arguments, **common}, fits)
    assert uses[:2] == [[], []]
    assert all("log_cosh" in key for key in uses[2])
    assert all("erf" in key for key in uses[3])
    assert uses[2]
    assert uses[3]


@pytest.mark.parametrize(
    "arguments",
    [
        {"activation": "exp"},
        {"activation": ["relu", "none"]},
        {"activation": []},
        {"loss": "tanh"},
        {"loss": ["huber", 3]},
        {"loss": "squared_error", "solver": "lbfgs", "normalization": "batch"},
    ],
)
def test_unknown_names_are_an_error(arguments):
    with pytest.raises(ValueError, match=str([*arguments][-1])):
        skmlp.precompile(**arguments)


@pytest.mark.parametrize(
    "arguments",
    [{"activation": None}, {"loss": 3}, {"normalization": "all"}, {"dtype": "int8"}],
)
def test_wrong_types_are_an_error(arguments):
    with pytest.raises(InvalidParameterError):
        skmlp.precompile(**arguments)
