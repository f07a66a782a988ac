"""What must be refused is refused, in scikit-learn's words, and breaks nothing.

Every refusal is tried on an estimator that was fitted before: all that it holds is
compared deeply before and after, and it must train on as an untouched twin does. The
second half is about weights, whose meaning is defined by what rows of weight zero and
two must equal.
"""

import copy
import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.utils._param_validation import InvalidParameterError

from skmlp import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
]

X, Y = make_classification(
    n_samples=60, n_features=6, n_informative=4, n_classes=3, random_state=0
)
YR = X[:, 0] - X[:, 1] ** 2
SETTINGS = {"hidden_layer_sizes": (5,), "max_iter": 5, "random_state": 0}
KINDS = (MLPClassifier, MLPRegressor)
SOLVERS = ("adam", "sgd", "lbfgs")


def target_of(estimator):
    return Y if isinstance(estimator, MLPClassifier) else YR


def fitted(kind=MLPClassifier, **settings):
    estimator = kind(**{**SETTINGS, **settings})
    return estimator.fit(X, target_of(estimator))


def frozen(value):
    """A copy of any state, comparable by ==, arrays by type, shape and bits.

    Seconds are left out, since no two fits take the same time, and so are the rates of
    the last call of the backend, whose number of epochs depends on the time.
    """
    if isinstance(value, np.ndarray):
        return ("array", value.dtype.str, value.shape, value.tobytes())
    if isinstance(value, np.random.RandomState):
        return ("random", frozen(value.get_state(legacy=False)))
    if isinstance(value, dict):
        # Times, and what predictions have prepared.
        others = ("seconds", "last_rates", "_prepared")
        return {key: frozen(part) for key, part in value.items() if key not in others}
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *(frozen(part) for part in value)]
    if hasattr(value, "__dict__") and not isinstance(value, type):
        return (type(value).__name__, frozen(vars(value)))
    return repr(value)


def assert_refused(estimator, call, error, match):
    """`call` fails with `error`; the estimator is as before and trains on as before."""
    twin = copy.deepcopy(estimator)
    before = frozen(estimator)
    with pytest.raises(error, match=match):
        call(estimator)
    assert frozen(estimator) == before
    if not hasattr(estimator, "coefs_"):
        return
    y = target_of(estimator)
    assert frozen(estimator.predict(X)) == frozen(twin.predict(X))
    if estimator.solver != "lbfgs":
        assert frozen(estimator.partial_fit(X, y)) == frozen(twin.partial_fit(X, y))
    assert frozen(estimator.fit(X, y)) == frozen(twin.fit(X, y))


BAD_PARAMETERS = {
    "hidden_layer_sizes": [0, -3, 2.5, "many", None],
    "activation": ["RELU", "exp", None, 3],
    "solver": ["newton", None, 1],
    "alpha": [-1e-9, "0", None, np.nan],
    "weight_decay": [-1e-9, "0", None, np.nan],
    "batch_size": [0, -5, 2.5, "all", None],
    "learning_rate": ["optimal", 0.1, None],
    "learning_rate_init": [0, -0.1, "fast", None, np.nan],
    "power_t": [-0.5, "half", None],
    "warmup_epochs": [-1, "one", None, np.nan],
    "decay_factor": [0, 1, -0.5, "half", None],
    "decay_epochs": [0, -1, 2.5, None],
    "plateau_patience": [0, -1, 2.5, None],
    "max_iter": [0, -1, 2.5, None, "auto"],
    "shuffle": ["yes", 2, None],
    "random_state": [-1, "seed", 1.5, np.random.default_rng(0)],
    "tol": [-1e-4, "small", None],
    "verbose": [-1, "loud", None],
    "warm_start": ["no", 2, None],
    "momentum": [-0.1, 1.1, "fast", None],
    "nesterovs_momentum": ["no", 2, None],
    "early_stopping": ["no", 2, None],
    "validation_fraction": [-0.1, 1.0, 1.5, "tenth", None],
    "beta_1": [-0.1, 1.0, "big", None],
    "beta_2": [-0.1, 1.0, "big", None],
    "rho": [-0.1, 1.0, "big", None],
    "epsilon": [0, -1e-8, "small", None],
    "n_iter_no_change": [0, -1, 2.5, -np.inf, "never", None],
    "max_fun": [0, -1, 2.5, None],
    "weight_init": ["glorot", None, 1.0],
    "fit_intercept": ["no", 2, None],
    "dropout": [-0.1, 1.0, "half", None],
    "input_noise": [-0.1, "some", None],
    "normalization": ["group", 1],
    "max_norm": [0, -1.0, "small"],
    "max_grad_norm": [0, -1.0, "small"],
    "scoring": ["accurate", "RMSE", 1.0, ["r2"]],
    "sampling": ["uniform", True, 1],
    "max_time": [0, -1.5, "long", np.nan],
    "n_jobs": [0, 1.5, "all"],
    "device": ["gpu", "cuda:", "cuda:-1", "cuda:01", "cpu:0", None, 0],
    "dtype": ["float16", "tf32", np.int32, int, np.dtype(">f8"), 32],
    "matmul_precision": ["float32", "high", None, 1],
    "learning_rate_factors": ["fan_in", 1.0],
    "bias_learning_rate_factor": [-0.1, "small", None, np.nan],
    "weight_decay_schedule": ["cosine", None, 1],
    "dropout_schedule": ["cosine", None, 1],
    "best_epoch": ["any", None, 1],
    "embedding": ["periodic", True, 1],
    "n_bins": [1, 2.5, "auto", None],
    "embedding_dim": [0, 2.5, "auto", None],
    "embedding_learning_rate_factor": [-0.1, "small", None, np.nan],
}
BAD_OWN_PARAMETERS = {
    MLPClassifier: {
        "class_weight": ["uniform", 2.0, ((0, 1),)],
        "loss": ["poisson", "entropy", None, 1],
        "out_activation": ["exp", "sigmoid", None, 1],
        "label_smoothing": [-0.1, 1.0, "some", None],
        "logit_adjustment": [-0.1, "one", None, np.nan],
        "prior": ["balanced", 0.5, True],
        "focal_gamma": [-0.1, "two", None, np.nan],
        "focal_alpha": [0.0, 1.0, "some", np.nan],
    },
    MLPRegressor: {
        "loss": ["hinge", "absolute", None, 1],
        "out_activation": ["softmax", "linear", None, 1],
        "quantile": [0, 1.0, "median", None],
        "delta": [0, -1.0, "small", None],
        "power": [1, 2.0, "some", None],
        "scale_target": ["standard", 2, None],
    },
}


BAD_VALUES = [
    pytest.param(kind, name, value, id=f"{kind.__name__}-{name}-{number}")
    for kind in KINDS
    for name, values in {**BAD_PARAMETERS, **BAD_OWN_PARAMETERS[kind]}.items()
    for number, value in enumerate(values)
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_is_tried(kind):
    tried = set(BAD_PARAMETERS) | set(BAD_OWN_PARAMETERS[kind])
    assert tried >= set(kind._parameter_constraints) == set(kind().get_params())


@pytest.mark.parametrize(("kind", "name", "value"), BAD_VALUES)
def test_bad_parameters(kind, name, value):
    message = f"The '{name}' parameter of {kind.__name__} must be"
    for method in ("fit", "partial_fit"):
        estimator = kind().set_params(**{name: value})
        before = frozen(estimator)
        if not hasattr(estimator, method):
            assert name == "solver"
            continue
        with pytest.raises(InvalidParameterError, match=message):
            getattr(estimator, method)(X, target_of(estimator))
        assert frozen(estimator) == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [[0], (-1,), [5, 0], (5, -2), [2.5], [3, 2.0], ["5"]])
def test_bad_layers(kind, sizes):
    estimator = fitted(kind).set_params(hidden_layer_sizes=sizes)
    before = frozen(estimator)
    with pytest.raises(ValueError, match="hidden_layer_sizes must be"):
        estimator.fit(X, target_of(estimator))
    assert frozen(estimator) == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sizes", [(), [], np.array([4, 3]), [np.int64(4)], 4])
def test_good_layers(kind, sizes):
    estimator = fitted(kind, hidden_layer_sizes=sizes)
    hidden = [len(biases) for biases in estimator.intercepts_[:-1]]
    assert hidden == list(np.atleast_1d(sizes).astype(int))


BAD_LISTS = [
    ("dropout", [0.1, 0.2, 0.3], "dropout must be one rate .* list of 1, .* got 3"),
    ("dropout", [1.0], r"dropout must have rates in \[0, 1\), got"),
    ("dropout", [np.nan], r"dropout must have rates in \[0, 1\), got"),
    ("dropout", ["half"], r"dropout must have rates in \[0, 1\), got"),
    ("dropout", [None], r"dropout must have rates in \[0, 1\), got"),
    ("activation", ["relu", "tanh"], "activation must be one .* list of 1, .* got 2"),
    ("activation", [], "activation must be one .* list of 1, .* got 0"),
    ("activation", ["sigmoid"], "activation must be among .*, got 'sigmoid'"),
    ("activation", [3], "activation must be among .*, got 3"),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("name", "values", "message"), BAD_LISTS)
def test_bad_lists_of_one_a_layer(kind, name, values, message):
    estimator = fitted(kind, hidden_layer_sizes=(4,)).set_params(**{name: values})
    before = frozen(estimator)
    with pytest.raises(ValueError, match=message):
        estimator.fit(X, target_of(estimator))
    assert frozen(estimator) == before


def test_unknown_parameters():
    with pytest.raises(TypeError, match="layers"):
        MLPClassifier(layers=3)
    with pytest.raises(ValueError, match="Invalid parameter 'layers'"):
        MLPClassifier().set_params(layers=3)


def replaced(array, value, where=(3, 2)):
    array = array.astype(np.result_type(array, type(value)))
    array[where] = value
    return array


def sparse_with(value):
    return sparse.csr_array(replaced(X, value))


BAD_X = {
    "nan": (replaced(X, np.nan), ValueError, "contains NaN"),
    "inf": (replaced(X, np.inf), ValueError, "contains infinity"),
    "minus inf": (replaced(X, -np.inf), ValueError, "contains infinity"),
    "sparse nan": (sparse_with(np.nan), ValueError, "contains NaN"),
    "sparse inf": (sparse_with(np.inf), ValueError, "contains infinity"),
    "csc nan": (sparse_with(np.nan).tocsc(), ValueError, "contains NaN"),
    "complex": (X + 1j, ValueError, "Complex data not supported"),
    "strings": (np.full(X.shape, "a"), ValueError, "could not convert|dtype"),
    "one dimension": (X[:, 0], ValueError, "Expected 2D array"),
    "three dimensions": (X[:, :, None], ValueError, "dim 3"),
    "scalar": (1.0, ValueError, "Expected 2D array"),
    "none": (None, ValueError, "NoneType|Expected 2D"),
    "ragged": ([[1.0, 2.0], [3.0]] * 30, ValueError, "inhomogeneous|sequence"),
    "no rows": (X[:0], ValueError, "0 sample"),
    "no columns": (X[:, :0], ValueError, "0 feature"),
    "masked": (np.ma.masked_less(X, 0), ValueError, "X is a masked array"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", BAD_X)
def test_bad_x(kind, case):
    x, error, match = BAD_X[case]
    y = Y if kind is MLPClassifier else YR
    for call in (
        lambda estimator: estimator.fit(x, y),
        lambda estimator: estimator.partial_fit(x, y),
        lambda estimator: estimator.predict(x),
    ):
        assert_refused(fitted(kind), call, error, match)


@pytest.mark.parametrize("kind", KINDS)
def test_other_number_of_columns(kind):
    for call in (
        lambda estimator: estimator.predict(X[:, :4]),
        lambda estimator: estimator.partial_fit(X[:, :4], target_of(estimator)),
    ):
        assert_refused(fitted(kind), call, ValueError, "4 features, but .* expecting 6")


BAD_LABELS = {
    "too short": (Y[:-1], "inconsistent numbers of samples"),
    "too long": (np.append(Y, 0), "inconsistent numbers of samples"),
    "none": (None, "requires y to be passed"),
    "nan": (replaced(Y, np.nan, 3), "contains NaN"),
    "inf": (replaced(Y, np.inf, 3), "contains infinity"),
    "numbers": (YR, "Unknown label type"),
    "complex": (Y + 1j, "[Cc]omplex"),
    "masked": (np.ma.masked_equal(Y, 2), "y is a masked array"),
}
BAD_NUMBERS = {
    "too short": (YR[:-1], "inconsistent numbers of samples"),
    "none": (None, "requires y to be passed"),
    "nan": (replaced(YR, np.nan, 3), "contains NaN"),
    "inf": (replaced(YR, np.inf, 3), "contains infinity"),
    "strings": (np.full(len(X), "a"), "could not convert"),
    "complex": (YR + 1j, "[Cc]omplex"),
    "three dimensions": (YR.reshape(-1, 1, 1), "dim 3"),
    "masked": (np.ma.masked_less(YR, 0), "y is a masked array"),
}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("case", BAD_LABELS)
def test_bad_labels(case, method):
    y, match = BAD_LABELS[case]
    assert_refused(fitted(), lambda e: getattr(e, method)(X, y), ValueError, match)


def test_several_columns_for_a_network_of_one():
    y = np.column_stack([Y, Y])
    match = "made for one class a sample, a single column"
    assert_refused(fitted(), lambda e: e.partial_fit(X, y), ValueError, match)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("case", BAD_NUMBERS)
def test_bad_numbers(case, method):
    y, match = BAD_NUMBERS[case]
    estimator = fitted(MLPRegressor)
    assert_refused(estimator, lambda e: getattr(e, method)(X, y), ValueError, match)


def test_negative_counts():
    estimator = fitted(MLPRegressor)
    estimator.loss = "poisson"
    before = frozen(estimator)
    with pytest.raises(ValueError, match="needs y >= 0"):
        estimator.fit(X, YR)
    assert frozen(estimator) == before


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_other_number_of_outputs(method):
    two = np.column_stack([YR, YR])
    estimator = fitted(MLPRegressor, warm_start=True)
    assert_refused(
        estimator, lambda e: getattr(e, method)(X, two), ValueError, "shapes"
    )


def test_unseen_classes():
    assert_refused(
        fitted(),
        lambda e: e.partial_fit(X, Y + 1),
        ValueError,
        "classes not in `self.classes_`",
    )
    assert_refused(
        fitted(),
        lambda e: e.partial_fit(X, Y, classes=[0, 1, 2, 3]),
        ValueError,
        "is not the same as on last call",
    )


def test_a_first_partial_fit_needs_the_classes():
    assert_refused(
        MLPClassifier(),
        lambda e: e.partial_fit(X, Y),
        ValueError,
        "classes must be passed on the first call",
    )
    assert_refused(
        MLPClassifier(),
        lambda e: e.partial_fit(X, Y, classes=[0, 1]),
        ValueError,
        "classes not in `self.classes_`",
    )


def test_other_classes_in_a_warm_start():
    assert_refused(
        fitted(warm_start=True),
        lambda e: e.fit(X, np.minimum(Y, 1)),
        ValueError,
        "warm_start can only be used where `y` has the same classes",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_other_layers_in_a_warm_start(kind):
    estimator = fitted(kind, warm_start=True).set_params(hidden_layer_sizes=(9,))
    before = frozen(estimator)
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        estimator.fit(X, target_of(estimator))
    assert frozen(estimator) == before


@pytest.mark.parametrize("kind", KINDS)
def test_not_fitted(kind):
    assert_refused(kind(), lambda e: e.predict(X), NotFittedError, "not fitted yet")


@pytest.mark.parametrize("kind", KINDS)
def test_lbfgs_has_no_partial_fit(kind):
    assert_refused(
        fitted(kind, solver="lbfgs"),
        lambda e: e.partial_fit(X, target_of(e)),
        AttributeError,
        "partial_fit",
    )


@pytest.mark.parametrize("kind", KINDS)
def test_partial_fit_has_no_early_stopping(kind):
    estimator = fitted(kind).set_params(early_stopping=True)
    before = frozen(estimator)
    with pytest.raises(ValueError, match="does not support early_stopping"):
        estimator.partial_fit(X, target_of(estimator))
    assert frozen(estimator) == before


def test_partial_fit_has_no_balanced_weights():
    estimator = fitted().set_params(class_weight="balanced")
    before = frozen(estimator)
    with pytest.raises(ValueError, match="not supported for partial_fit"):
        estimator.partial_fit(X, Y)
    assert frozen(estimator) == before


@pytest.mark.parametrize("kind", KINDS)
def test_too_few_rows_to_validate_on(kind):
    estimator = fitted(kind).set_params(early_stopping=True, validation_fraction=0.02)
    y = np.arange(30) % 2 if kind is MLPClassifier else YR[:30]
    before = frozen(estimator)
    with pytest.raises(ValueError, match=r"validation set is too small|test_size"):
        estimator.fit(X[:30], y)
    assert frozen(estimator) == before


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", SOLVERS)
def test_one_sample(kind, solver):
    estimator = kind(**SETTINGS, solver=solver)
    y = target_of(estimator)[:1]
    estimator.fit(X[:1], y)
    assert np.isfinite(estimator.coefs_[0]).all()
    if kind is MLPClassifier:
        np.testing.assert_array_equal(estimator.predict(X), np.repeat(y, len(X)))


@pytest.mark.parametrize("solver", SOLVERS)
def test_one_class(solver):
    estimator = MLPClassifier(**SETTINGS, solver=solver).fit(X, np.full(len(X), "a"))
    np.testing.assert_array_equal(estimator.predict(X), np.full(len(X), "a"))
    np.testing.assert_array_equal(estimator.predict_proba(X), np.ones((len(X), 1)))
    np.testing.assert_array_equal(estimator.predict_log_proba(X), np.zeros((60, 1)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_batches_larger_than_the_data(kind, method):
    estimator = fitted(kind).set_params(batch_size=61)
    with pytest.warns(UserWarning, match="larger than sample size"):
        getattr(estimator, method)(X, target_of(estimator))
    expected = fitted(kind)
    expected.batch_size = 60
    getattr(expected, method)(X, target_of(estimator))
    assert frozen(estimator.coefs_) == frozen(expected.coefs_)


def test_a_batch_of_all_data_is_not_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        fitted(batch_size=60)


DIVERGE = "Solver produced non-finite parameter weights"


def diverging(kind, solver, **settings):
    settings = {**SETTINGS, "max_iter": 1000, "momentum": 0, **settings}
    return kind(solver=solver, learning_rate_init=1e30, **settings)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_divergence_ends_in_its_epoch(capsys, dtype):
    estimator = diverging(MLPRegressor, "sgd", verbose=True, dtype=dtype)
    with pytest.raises(ValueError, match=DIVERGE):
        estimator.fit(X, YR)
    assert 1 <= capsys.readouterr().out.count("Iteration") <= 10
    assert not hasattr(estimator, "coefs_")


ONE_LARGE_COLUMN = X * np.where(np.arange(X.shape[1]) == 1, 1e4, 1)


@pytest.mark.parametrize(
    ("rate", "x", "y", "cause"),
    [
        (0.001, X, 1e6 + 1e5 * YR, r"y has mean \S+ and standard deviation"),
        (0.001, ONE_LARGE_COLUMN, YR, "Features differ in scale.*StandardScaler"),
        (0.001, X * 1e9, YR, "Features are far from mean 0"),
        (1e30, X, YR, r"Lower learning_rate_init=1e\+30"),
    ],
)
def test_divergence_names_its_cause(rate, x, y, cause):
    settings = {"solver": "sgd", "learning_rate_init": rate, "random_state": 0}
    with pytest.raises(ValueError, match=f"{DIVERGE}.* {cause}"):
        MLPRegressor(**settings).fit(x, y)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_divergence_in_early_stopping_gives_the_best_network(dtype):
    """As in scikit-learn: the best network was found before."""
    estimator = diverging(
        MLPRegressor, "sgd", dtype=dtype, early_stopping=True, max_iter=20
    )
    with np.errstate(over="ignore"):  # in the validation score
        estimator.fit(X, YR)
    assert not np.isfinite(estimator.loss_curve_[-1])
    assert np.isfinite(estimator.predict(X)).all()


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_divergence_leaves_a_fitted_model_alone(method):
    estimator = fitted(MLPRegressor, solver="sgd", warm_start=True, max_iter=50)
    huge = np.where(X > 0, 1e300, -1e300)
    assert_refused(
        estimator, lambda e: getattr(e, method)(huge, YR), ValueError, DIVERGE
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lbfgs_where_the_loss_overflows(dtype):
    """It does not leave its start, as in scikit-learn, and says so."""
    huge = np.sign(X) * (1e35 if dtype == "float32" else 1e300)
    estimator = MLPRegressor(**SETTINGS, solver="lbfgs", dtype=dtype)
    with pytest.warns(ConvergenceWarning, match="lbfgs failed to converge"):
        estimator.fit(huge, YR)
    assert estimator.n_iter_ == 0
    assert all(np.isfinite(coef).all() for coef in estimator.coefs_)


def test_float32_overflow_of_x():
    """Numbers that only float64 can hold are infinite in the network's dtype."""
    huge = X.copy()
    huge[0, 0] = 1e300
    estimator = fitted(dtype="float32")
    with np.errstate(over="ignore"):
        assert_refused(
            estimator, lambda e: e.fit(huge, Y), ValueError, "infinity|too large"
        )


WEIGHT = np.random.default_rng(1).uniform(0.5, 2.0, len(X))
BAD_WEIGHTS = {
    "nan": (replaced(WEIGHT, np.nan, 3), "NaN"),
    "inf": (replaced(WEIGHT, np.inf, 3), "infinity"),
    "negative": (replaced(WEIGHT, -1.0, 3), "[Nn]egative"),
    "zero": (np.zeros(len(X)), "at least one non-zero"),
    "too short": (WEIGHT[:-1], "sample_weight.shape"),
    "matrix": (np.column_stack([WEIGHT, WEIGHT]), "must be 1D"),
    "strings": (np.full(len(X), "a"), "could not convert"),
    "complex": (WEIGHT + 1j, "[Cc]omplex"),
    "masked": (np.ma.masked_less(WEIGHT, 1), "sample_weight is a masked array"),
}


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", BAD_WEIGHTS)
def test_bad_weights(case, kind, method):
    weight, match = BAD_WEIGHTS[case]
    assert_refused(
        fitted(kind),
        lambda e: getattr(e, method)(X, target_of(e), sample_weight=weight),
        ValueError,
        match,
    )


@pytest.mark.parametrize(
    ("class_weight", "match"),
    [
        ({0: 0, 1: 0, 2: 0}, "leaves no sample"),
        ({0: -1.0}, "finite weights >= 0, got"),
        ({0: np.nan}, "NaN|nan|finite"),
        ({0: np.inf}, "infinity|inf|finite"),
        ([{0: 1.0}], "class_weight"),
    ],
    ids=str,
)
def test_bad_class_weights(class_weight, match):
    estimator = fitted().set_params(class_weight=class_weight)
    before = frozen(estimator)
    with pytest.raises(ValueError, match=match):
        estimator.fit(X, Y)
    assert frozen(estimator) == before


ZERO = np.arange(len(X)) % 4 == 1
SEVERAL = ({}, {"solver": "sgd"}, {"solver": "lbfgs"}, {"batch_size": 13})


def with_zeros(weight=None):
    weight = np.ones(len(X)) if weight is None else weight
    return np.where(ZERO, 0.0, weight)


@pytest.mark.parametrize("form", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "settings", [*SEVERAL, {"early_stopping": True}, {"shuffle": False}], ids=str
)
def test_rows_of_weight_zero_take_no_part(settings, kind, form):
    estimator = kind(**{**SETTINGS, **settings})
    y = target_of(estimator)
    x = form(X)
    found = clone(estimator).fit(x, y, sample_weight=with_zeros(WEIGHT))
    expected = clone(estimator).fit(x[~ZERO], y[~ZERO], sample_weight=WEIGHT[~ZERO])
    assert frozen(found.coefs_) == frozen(expected.coefs_)
    assert found.loss_ == expected.loss_
    assert found.t_ == expected.t_


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_weight_zero_take_no_part_in_partial_fit(kind):
    found, expected = fitted(kind), fitted(kind)
    y = target_of(found)
    found.partial_fit(X, y, sample_weight=with_zeros())
    expected.partial_fit(X[~ZERO], y[~ZERO])
    for one, other in zip(found.coefs_, expected.coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_rows_of_weight_zero_do_not_count_for_batches():
    batch = int((~ZERO).sum())
    fitted(batch_size=batch).fit(X, Y, sample_weight=with_zeros())
    with pytest.warns(UserWarning, match="larger than sample size"):
        fitted(batch_size=batch + 1).fit(X, Y, sample_weight=with_zeros())


def test_weights_that_vanish_in_float32_are_zero():
    weight = np.where(ZERO, 1e-60, 1.0)
    found = fitted(dtype="float32").fit(X, Y, sample_weight=weight)
    expected = fitted(dtype="float32").fit(X[~ZERO], Y[~ZERO], np.ones(sum(~ZERO)))
    assert frozen(found.coefs_) == frozen(expected.coefs_)


def test_balanced_classes_are_those_of_the_rows_that_take_part():
    found = MLPClassifier(**SETTINGS, class_weight="balanced")
    found.fit(X, Y, sample_weight=with_zeros())
    expected = clone(found).fit(X[~ZERO], Y[~ZERO])
    np.testing.assert_allclose(found.coefs_[0], expected.coefs_[0], rtol=1e-12)


# Sums of other numbers of terms: equal but for their rounding.
PRECISION = {"float64": 1e-9, "float32": 2e-4}


@pytest.mark.parametrize("dtype", PRECISION)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_weight_two_is_a_row_twice(solver, kind, dtype):
    times = 1 + np.arange(len(X)) % 3
    settings = {**SETTINGS, "solver": solver, "dtype": dtype, "shuffle": False}
    estimator = kind(**settings)
    y = target_of(estimator)
    # With one batch the order of rows does not matter, and the penalty is that of
    # the sum of the weights in either case.
    found = clone(estimator).set_params(batch_size=60)
    found.fit(X, y, sample_weight=times)
    expected = clone(estimator).set_params(batch_size=int(times.sum()))
    expected.fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    np.testing.assert_allclose(
        found.coefs_[0], expected.coefs_[0], rtol=PRECISION[dtype], atol=1e-6
    )
    np.testing.assert_allclose(found.loss_, expected.loss_, rtol=PRECISION[dtype])


@pytest.mark.parametrize("kind", KINDS)
def test_weight_two_is_a_row_twice_for_lbfgs(kind):
    times = 1 + np.arange(len(X)) % 3
    estimator = kind(**SETTINGS, solver="lbfgs")
    y = target_of(estimator)
    found = clone(estimator).fit(X, y, sample_weight=times)
    expected = estimator.fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    np.testing.assert_allclose(found.coefs_[0], expected.coefs_[0], rtol=1e-6)


@pytest.mark.parametrize("settings", SEVERAL, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_one_are_no_weights(kind, settings):
    estimator = kind(**{**SETTINGS, **settings})
    y = target_of(estimator)
    plain = clone(estimator).fit(X, y)
    ones = estimator.fit(X, y, sample_weight=np.ones(len(X)))
    np.testing.assert_allclose(ones.coefs_[0], plain.coefs_[0], rtol=1e-9)


@pytest.mark.parametrize("settings", SEVERAL, ids=str)
def test_class_weights_multiply_sample_weights(settings):
    settings = {**SETTINGS, **settings}
    by_class = {0: 1.0, 1: 3.0, 2: 0.25}
    product = WEIGHT * np.array([by_class[label] for label in Y])
    expected = MLPClassifier(**settings).fit(X, Y, sample_weight=product)
    found = MLPClassifier(**settings, class_weight=by_class).fit(X, Y, WEIGHT)
    assert frozen(found.coefs_) == frozen(expected.coefs_)
    assert frozen(found.coefs_) != frozen(fitted(**settings).coefs_)


def test_class_weights_alone():
    by_class = {0: 2.0, 2: 0.5}
    weight = np.array([by_class.get(label, 1.0) for label in Y])
    expected = MLPClassifier(**SETTINGS).fit(X, Y, sample_weight=weight)
    found = MLPClassifier(**SETTINGS, class_weight=by_class).fit(X, Y)
    assert frozen(found.coefs_) == frozen(expected.coefs_)


def test_class_weights_of_labels_that_are_strings():
    names = np.array(["a", "b", "c"])[Y]
    found = MLPClassifier(**SETTINGS, class_weight={"b": 3.0}).fit(X, names)
    expected = MLPClassifier(**SETTINGS, class_weight={1: 3.0}).fit(X, Y)
    assert frozen(found.coefs_) == frozen(expected.coefs_)


def test_class_weights_in_partial_fit():
    found = MLPClassifier(**SETTINGS, class_weight={1: 3.0})
    found.partial_fit(X[:7], Y[:7], classes=[0, 1, 2])
    weight = np.where(Y == 1, 3.0, 1.0)
    expected = MLPClassifier(**SETTINGS)
    expected.partial_fit(X[:7], Y[:7], weight[:7], classes=[0, 1, 2])
    assert frozen(found.coefs_) == frozen(expected.coefs_)


def test_weights_are_not_written_to():
    weight = WEIGHT.copy()
    weight.flags.writeable = False
    MLPClassifier(**SETTINGS, class_weight="balanced").fit(X, Y, sample_weight=weight)
    np.testing.assert_array_equal(weight, WEIGHT)


@pytest.mark.parametrize("values", [[np.nan], [np.inf], [np.nan, np.inf]])
def test_predictions_refuse_what_the_kernel_finds(values):
    """An array that needs no conversion is checked while it is being read."""
    classifier = MLPClassifier(max_iter=1, random_state=0).fit(X, Y)
    bad = X.copy()
    bad[-1, : len(values)] = values
    with pytest.raises(ValueError, match=r"contains (NaN|infinity)"):
        classifier.predict(bad)


def test_a_sum_that_overflows_is_not_an_error():
    classifier = MLPClassifier(max_iter=1, random_state=0).fit(X, Y)
    large = X.copy()
    large[:2, 0] = 1e308
    assert classifier.predict(large).shape == Y.shape
