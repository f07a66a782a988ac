"""Input of every kind: what scikit-learn does with it, and what happens here.

A row has scikit-learn's result or exception first and this package's second; where the
two differ, the second is the better one, and differences.md or the message says why.
"""

import copy
import pickle
import subprocess
import sys
import warnings

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.utils._param_validation import InvalidParameterError

import skmlp

pytestmark = pytest.mark.filterwarnings("ignore")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y, YR = (X[:, 0] > 0).astype(int), X[:, 0]
DAYS = np.datetime64("2024-01-01") + np.arange(60)
MONTHS = DAYS.astype("datetime64[M]")
WORDS = np.where(Y, "aa", "b")
DATES = DAYS[:, np.newaxis].repeat(4, axis=1)
SETTINGS = {"max_iter": 2, "random_state": 0}


def outcome(package, kind, method, arguments, settings):
    """The class of the exception, or what the call makes of the data."""
    estimator = getattr(package, kind)(**{**SETTINGS, **settings})
    try:
        if method == "predict":
            estimator.fit(X, Y)
            return estimator.predict(*arguments).dtype.str
        options = {"classes": arguments[1]} if kind[3] == "C" else {}
        options = options if method == "partial_fit" else {}
        getattr(estimator, method)(*arguments, **options)
    except Exception as error:
        return type(error)
    if kind == "MLPClassifier" and "hidden_layer_sizes" not in settings:
        return estimator.classes_.dtype.str, estimator.predict(X).dtype.str
    return [coef.shape for coef in estimator.coefs_]


def classes_of(dtype):
    return (dtype, dtype)


C, R = "MLPClassifier", "MLPRegressor"
FLOATS, INTS = [(4, 100), (100, 1)], "<i8"
UFUNC = TypeError
# Class, method, X and y, parameters; scikit-learn's side and ours.
ROWS = {
    "X of dates": (C, "fit", (DATES, Y), {}, (INTS, INTS), ValueError),
    "X of durations": (C, "fit", (DATES - DAYS[0], Y), {}, (INTS, INTS), ValueError),
    "X of strings": (C, "fit", (X.astype(str), Y), {}, (INTS, INTS), ValueError),
    "X of bytes": (C, "fit", (X.astype("S"), Y), {}, (INTS, INTS), ValueError),
    "X of complex numbers": (C, "fit", (X + 0j, Y), {}, ValueError, ValueError),
    "predict strings": (C, "predict", (X.astype(str),), {}, ValueError, ValueError),
    "predict durations": (C, "predict", (DATES - DAYS[0],), {}, UFUNC, ValueError),
    "y of dates": (R, "fit", (X, DAYS), {}, UFUNC, ValueError),
    "y of durations": (R, "fit", (X, DAYS - DAYS[0]), {}, UFUNC, ValueError),
    "y of strings of numbers": (R, "fit", (X, YR.astype(str)), {}, UFUNC, ValueError),
    "y of words": (R, "fit", (X, WORDS), {}, UFUNC, ValueError),
    "y of objects": (R, "fit", (X, YR.astype(object)), {}, FLOATS, FLOATS),
    "months as labels": (C, "fit", (X, MONTHS), {}, *[classes_of("<M8[M]")] * 2),
    **{
        f"labels {dtype}, {method}": (
            C,
            method,
            (X, (WORDS if "U" in dtype else Y).astype(dtype)),
            {},
            *[classes_of("<" + ("U2" if "U" in dtype else dtype[1:]))] * 2,
        )
        for dtype in (">i8", ">i4", ">u2", ">f8", ">U2")
        for method in ("fit", "partial_fit")
    },
    "numbers big-endian": (
        R, "fit", (X.astype(">f8"), YR.astype(">f8")), {}, FLOATS, FLOATS
    ),
    "labels that cannot be sorted": (
        C, "fit", (X, np.array([1, "a"], object)[Y]), {}, TypeError, ValueError
    ),
    "None among labels": (
        C, "fit", (X, np.array([None, "a"], object)[Y]), {}, TypeError, ValueError
    ),
    **{
        f"hidden_layer_sizes={sizes!r}": (
            C, "fit", (X, Y), {"hidden_layer_sizes": sizes}, theirs, ours
        )
        for sizes, theirs, ours in (
            (True, TypeError, TypeError),
            ([3, True], TypeError, TypeError),
            (False, InvalidParameterError, InvalidParameterError),
            (5.0, InvalidParameterError, InvalidParameterError),
            ([5.0], TypeError, ValueError),
            ([[3]], TypeError, ValueError),
            ((), [(4, 1)], [(4, 1)]),
            (np.int8(5), [(4, 5), (5, 1)], [(4, 5), (5, 1)]),
        )
    },
    # A list has an activation for each hidden layer: none for none.
    "no activation, no layer": (
        C, "fit", (X, Y), {"hidden_layer_sizes": (), "activation": ()},
        InvalidParameterError, [(4, 1)],
    ),
    "no activation for a layer": (
        C, "fit", (X, Y), {"hidden_layer_sizes": 3, "activation": ()},
        InvalidParameterError, ValueError,
    ),
    **{
        f"partial_fit of a regressor, solver={solver!r}": (
            R, "partial_fit", (X, YR), {"solver": solver}, *[InvalidParameterError] * 2
        )
        for solver in ("newton", "LBFGS", None, 3, ["adam"])
    },
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
def test_input(row):
    kind, method, arguments, settings, theirs, ours = ROWS[row]
    found = outcome(neural_network, kind, method, arguments, settings)
    # NumPy's exceptions are subclasses.
    assert found == theirs or issubclass(found, theirs)
    assert outcome(skmlp, kind, method, arguments, settings) == ours


DEAD = """
import numpy as np
from {package} import MLPRegressor
X = np.random.default_rng(0).normal(size=(200, 3))
MLPRegressor(
    hidden_layer_sizes=(20,), solver="sgd", learning_rate_init=0.3, momentum=0,
    max_iter=5, tol=1.0, n_iter_no_change=2, random_state=0,
).fit(X, 10 + X[:, 0])
"""


def test_warnings_as_errors():
    """As the first row of differences.md says, and by what it says they are off."""

    def code(package, *options):
        done = subprocess.run(
            [sys.executable, *options, "-c", DEAD.format(package=package)],
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.returncode, done.stderr

    assert code("sklearn.neural_network", "-W", "error::UserWarning")[0] == 0
    status, text = code("skmlp", "-W", "error::UserWarning")
    assert status == 1
    assert "DeadUnitsWarning" in text or "PoorFitWarning" in text
    off = [f"ignore::UserWarning:{module}" for module in ("__main__", "skmlp")]
    assert code("skmlp", "-W", "error", "-W", off[0])[0] == 0


def arrays_in(value, path="", seen=None):
    """All arrays that an object refers to, with their paths."""
    seen = {} if seen is None else seen
    if id(value) in seen:
        return
    seen[id(value)] = value
    if isinstance(value, np.ndarray):
        yield path, value
        return
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    else:
        parts = getattr(value, "__dict__", {}).items()
    for name, part in parts:
        yield from arrays_in(part, f"{path}/{name}", seen)


@pytest.mark.parametrize(
    "settings",
    [
        {"early_stopping": True, "n_iter_no_change": 2},
        {"normalization": "batch", "early_stopping": True},
        {"warm_start": True},
        {"solver": "lbfgs"},
    ],
    ids=str,
)
def test_an_edit_of_the_weights_edits_nothing_else(settings):
    """What a warm start returns to, optimizers' states and the like are their own."""
    model = skmlp.MLPClassifier(**{**SETTINGS, "max_iter": 8, **settings}).fit(X, Y)
    own = [*model.coefs_, *model.intercepts_]
    others = [
        (path, array)
        for path, array in arrays_in(vars(model))
        if not path.startswith(("/coefs_", "/intercepts_", "/norm_"))
    ]
    assert others
    for path, array in others:
        assert not any(np.shares_memory(array, part) for part in own), path


@pytest.mark.filterwarnings("ignore::skmlp.exceptions.InconsistentVersionWarning")
@pytest.mark.parametrize("kind", [C, R])
def test_models_of_other_releases(kind):
    """New parameters have their defaults; what is missing is named, and its release."""
    model = getattr(skmlp, kind)(**SETTINGS, alpha=0.3).fit(X, Y)
    expected = model.predict(X)
    state = model.__getstate__()
    assert state["_skmlp_version"] == skmlp.__version__

    def loaded(**changes):
        other = state | changes
        other = {name: value for name, value in other.items() if value is not ...}
        new = copy.copy(model)
        vars(new).clear()
        new.__setstate__(other)
        return new

    for name, default in type(model)().get_params().items():
        if name in SETTINGS or name == "alpha":
            continue
        new = loaded(_skmlp_version="0.0.1", **{name: ...})
        assert getattr(new, name) == default
        assert np.array_equal(new.predict(X), expected)
    new.fit(X, Y)
    own = ["_labels"] if kind == C else ["_decoder", "target_mean_", "target_scale_"]
    for name in ("_activations", "out_activation_", "n_features_in_", "_layout", *own):
        with pytest.raises(ValueError, match=rf"by 0\.0\.1 of skmlp .* lacks {name},"):
            loaded(_skmlp_version="0.0.1", **{name: ...})
        with pytest.raises(ValueError, match=rf"an earlier release .* lacks {name},"):
            loaded(_skmlp_version=..., **{name: ...})
    # Of a release without a stamp, and of a later one with more attributes.
    assert np.array_equal(loaded(_skmlp_version=...).predict(X), expected)
    later = loaded(_skmlp_version="99.0", news_=1)
    assert np.array_equal(later.predict(X), expected)
    again = pickle.loads(pickle.dumps(later))
    assert again.__getstate__()["_skmlp_version"] == skmlp.__version__


def test_an_unfitted_model_of_another_release():
    state = skmlp.MLPClassifier(alpha=0.2).__getstate__()
    del state["dropout"], state["_skmlp_version"]
    new = skmlp.MLPClassifier.__new__(skmlp.MLPClassifier)
    new.__setstate__(state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert new.set_params(max_iter=1).fit(X, Y).alpha == 0.2
    assert new.dropout == 0.0
