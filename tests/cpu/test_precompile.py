"""`skmlp.precompile` compiles everything that later fits need.

Counted in fresh processes: at its first use in a process, every kernel and every loop
of a rule is looked up in the disk cache, whether the cache has it or not.
"""

import os
import pickle

import numpy as np
import pytest
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils._param_validation import InvalidParameterError
from subprocesses import run_apart

import skmlp
from skmlp._fitted_networks import fitted_networks
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


# --- the predictions of a fitted estimator ---


def uses_after(path, cache_dir):
    """Kernels that a model's predictions use beside those of its `precompile`."""
    import os
    import pickle
    import warnings

    from scipy import sparse

    import skmlp
    from skmlp.compiler.disk_cache import KernelCache

    used, compiled = [], []
    load, save = KernelCache.load_overload, KernelCache.save_overload

    def watched(cache, *arguments):
        used.append(cache._key)
        return load(cache, *arguments)

    def counted(cache, *arguments):
        compiled.append(cache._key)
        return save(cache, *arguments)

    KernelCache.load_overload, KernelCache.save_overload = watched, counted
    with open(path, "rb") as file:
        model, x, takes_sparse = pickle.load(file)
    with warnings.catch_warnings(action="error"):
        if cache_dir:
            os.environ["SKMLP_CACHE_DIR"] = cache_dir
        else:
            skmlp.precompile(estimator=model)
            assert used
            used.clear()
    forms = [x, sparse.csr_matrix(x)] if takes_sparse else [x]
    for name in ("predict", "predict_proba", "decision_function", "transform"):
        if hasattr(model, name):
            for form in forms:
                getattr(model, name)(form)
                getattr(model, name)(form[:1])
    if hasattr(model, "score_samples") and hasattr(model, "reconstruct"):
        model.score_samples(x)
        model.inverse_transform(model.transform(x))
    return (sorted(set(compiled)) if cache_dir else sorted(set(used))), len(used)


def classifier(x, **settings):
    y = (x[:, 0] > 0).astype(int)
    return skmlp.MLPClassifier((7,), max_iter=3, random_state=0, **settings).fit(x, y)


def pipeline_of_scaled(x):
    steps = StandardScaler(), skmlp.MLPRegressor(activation="gelu", max_iter=3)
    return make_pipeline(*steps).fit(x, x[:, 0])


def with_batch_norm(x):
    return classifier(x.astype(np.float32), normalization="batch")


def vote(x):
    members = [
        ("l", LogisticRegression()),
        ("m", skmlp.MLPClassifier((7,), max_iter=3)),
    ]
    return VotingClassifier(members, voting="soft").fit(x, x[:, 0] > 0)


def autoencoder(x):
    return skmlp.MLPAutoencoder((3,), max_iter=3).fit(x)


def features_of(x):
    network = skmlp.MLPClassifier((7, 4), "tanh", max_iter=3)
    return skmlp.HiddenFeatures(network).fit(x, x[:, 0] > 0)


def embedded(x):
    return classifier(x, embedding="piecewise_linear", normalization="layer")


def tabular(x):
    model = skmlp.TabularMLPRegressor(preset="fast", random_state=0)
    return model.fit(x, x[:, 0])


# The model, and whether its predictions take sparse X.
FITTED = {
    "classifier": (classifier, True),
    "pipeline": (pipeline_of_scaled, False),
    "batch norm": (with_batch_norm, True),
    "voting": (vote, True),
    "autoencoder": (autoencoder, False),
    "features": (features_of, True),
    "embedded": (embedded, False),
    "tabular": (tabular, False),
}


@pytest.fixture
def saved(tmp_path):
    """A function that fits and pickles a model of `FITTED`, and its path."""

    def save(name):
        x = np.random.default_rng(0).standard_normal((3000, 4))
        fit, takes_sparse = FITTED[name]
        path = tmp_path / "model.pkl"
        path.write_bytes(pickle.dumps((fit(x), x, takes_sparse)))
        return str(path)

    return save


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning")
@pytest.mark.parametrize("name", FITTED)
def test_the_predictions_of_a_fitted_estimator(saved, name):
    found, _ = run_apart(uses_after, saved(name), None, timeout=400)
    assert found == []


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning")
def test_a_folder_to_ship(saved, tmp_path):
    """Whoever reads it later compiles nothing, without a cache of its own."""
    path = saved("classifier")
    model = pickle.loads((tmp_path / "model.pkl").read_bytes())[0]
    folder = tmp_path / "new" / "kernels"
    umask = os.umask(0o077)
    try:
        skmlp.precompile(estimator=model, cache_dir=folder)
    finally:
        os.umask(umask)
    if hasattr(os, "geteuid"):
        modes = {each: each.stat().st_mode & 0o777 for each in folder.iterdir()}
        assert set(modes.values()) == {0o644}
        assert folder.parent.stat().st_mode & 0o777 == 0o755
        assert folder.stat().st_mode & 0o777 == 0o755
    found, n_used = run_apart(uses_after, path, str(folder))
    assert found == []
    assert n_used > 0
    moved = folder.rename(tmp_path / "moved")
    found, _ = run_apart(uses_after, path, str(moved))
    assert found == []


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_networks_are_found_in_whatever_holds_them():
    x = np.random.default_rng(0).standard_normal((30, 3))
    network = skmlp.MLPRegressor(solver="lbfgs", max_iter=20).fit(x, x[:, 0])

    class Service:
        def __init__(self, **parts):
            self.__dict__.update(parts)

        def predict(self, rows):
            return rows

    holders = [
        network,
        [network],
        {"a": (network,)},
        make_pipeline(network),
        Service(model=Service(inner={"b": network})),
        np.array([network, None], dtype=object),
    ]
    for holder in holders:
        assert fitted_networks(holder) == [(network, None)]
    circle = Service(model=network)
    circle.circle = circle
    assert fitted_networks(circle) == [(network, None)]


def test_what_holds_no_fitted_network():
    for nothing in (3, "model", LogisticRegression(), [], object):
        with pytest.raises(TypeError, match="in which there is none"):
            skmlp.precompile(estimator=nothing)
    for unfitted in (skmlp.MLPClassifier(), make_pipeline(skmlp.MLPRegressor())):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            skmlp.precompile(estimator=unfitted)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_parameters_that_contradict_each_other(tmp_path):
    x = np.random.default_rng(0).standard_normal((30, 3))
    network = skmlp.MLPRegressor(solver="lbfgs", max_iter=20).fit(x, x[:, 0])
    with pytest.raises(ValueError, match="leave dtype, loss at the default"):
        skmlp.precompile(estimator=network, dtype="float32", loss="huber")
    with pytest.raises(ValueError, match=r"cpu='x86-64-v2' needs cache_dir"):
        skmlp.precompile(cpu="x86-64-v2")
    with pytest.raises(ValueError, match=r"cpu must be one of \['.*got 'haswell'"):
        skmlp.precompile(cpu="haswell", cache_dir=tmp_path)
    with pytest.raises(ValueError, match="cache_dir must not contain"):
        skmlp.precompile(cache_dir=tmp_path / f"a{os.pathsep}b")
    assert [*tmp_path.iterdir()] == []


def test_a_cpu_whose_features_this_one_lacks(tmp_path, monkeypatch):
    from skmlp.compiler import target

    (name, *_) = target.baselines() or pytest.skip("no baselines")
    lacking = sorted(target._of_architecture()[name])[0]
    present = target.host_features() - {lacking}
    monkeypatch.setattr(target, "host_features", lambda: present)
    with pytest.raises(ValueError, match=f"has no {lacking}"):
        skmlp.precompile(cpu=name, cache_dir=tmp_path)


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no Unix permissions")
def test_a_folder_that_others_can_write_is_not_filled(tmp_path):
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(OSError, match="other users can write"):
        skmlp.precompile(cache_dir=folder)
    assert [*folder.iterdir()] == []


def test_the_error_of_the_process_that_compiles(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_OPT", "nonsense")
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    with pytest.raises(RuntimeError, match="failed with exit code 1: "):
        skmlp.precompile(dtype="float32", solver="adam", cache_dir=tmp_path / "kernels")
