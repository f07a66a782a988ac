"""Parameters without effect: what is set, and the sentence that says so."""

import warnings

import numpy as np
import pytest
from scipy import sparse

from skmlp import Loss, MLPClassifier, MLPRegressor
from skmlp.exceptions import IneffectiveParameterWarning

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.default_rng(0).normal(size=(60, 3))
T = X[:, 0]
Y = (T > 0).astype(int)


def cosh(y, z):
    return np.cosh(z - y) - 1


def cosh_slope(y, z):
    return np.sinh(z - y)


def told(kind, parameters, y=None, **options):
    """The warnings of a short fit, and their files."""
    y = (Y if kind is MLPClassifier else T) if y is None else y
    model = kind(**{"max_iter": 2, "random_state": 0, **parameters})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y, **options)
    return [
        (str(w.message), w.filename)
        for w in caught
        if w.category is IneffectiveParameterWarning
    ]


REGRESSOR, CLASSIFIER = MLPRegressor, MLPClassifier
ROWS = [
    (
        REGRESSOR,
        {"quantile": [0.1, 0.9]},
        "quantile=[0.1, 0.9] has no effect with loss='squared_error': it belongs to "
        "loss='quantile'.",
    ),
    (
        REGRESSOR,
        {"delta": 2.0},
        "delta=2.0 has no effect with loss='squared_error': it belongs to "
        "loss='huber'.",
    ),
    (
        REGRESSOR,
        {"power": 1.2, "loss": "huber"},
        "power=1.2 has no effect with loss='huber': it belongs to loss='tweedie'.",
    ),
    (
        CLASSIFIER,
        {"momentum": 0.5},
        "momentum=0.5 has no effect with solver='adam': it belongs to solver='sgd'.",
    ),
    (
        CLASSIFIER,
        {"nesterovs_momentum": False, "solver": "lbfgs"},
        "nesterovs_momentum=False has no effect with solver='lbfgs': it belongs to "
        "solver='sgd'.",
    ),
    (
        CLASSIFIER,
        {"beta_1": 0.5, "solver": "sgd"},
        "beta_1=0.5 has no effect with solver='sgd': it belongs to solver='adam' or "
        "'amsgrad' or 'nadam' or 'lion'.",
    ),
    (
        CLASSIFIER,
        {"rho": 0.5},
        "rho=0.5 has no effect with solver='adam': it belongs to solver='rmsprop' or "
        "'adadelta'.",
    ),
    (
        CLASSIFIER,
        {"max_fun": 10},
        "max_fun=10 has no effect with solver='adam': it belongs to solver='lbfgs'.",
    ),
    (
        CLASSIFIER,
        {"learning_rate": "adaptive"},
        "learning_rate='adaptive' has no effect with solver='adam', as in "
        "scikit-learn: use another schedule or solver.",
    ),
    (
        CLASSIFIER,
        {"power_t": 0.3, "learning_rate": "invscaling"},
        "power_t=0.3 has no effect with solver='adam', which ignores learning_rate.",
    ),
    (
        CLASSIFIER,
        {"decay_epochs": 3, "learning_rate": "plateau"},
        "decay_epochs=3 has no effect with learning_rate='plateau': it belongs to "
        "learning_rate='exponential' or 'step'.",
    ),
    (
        CLASSIFIER,
        {"decay_factor": 0.5},
        "decay_factor=0.5 has no effect with learning_rate='constant': it belongs to "
        "learning_rate='exponential' or 'step' or 'plateau'.",
    ),
    (
        CLASSIFIER,
        {"plateau_patience": 5},
        "plateau_patience=5 has no effect with learning_rate='constant': it belongs "
        "to learning_rate='plateau'.",
    ),
    (
        CLASSIFIER,
        {"scoring": "accuracy"},
        "scoring='accuracy' has no effect without early_stopping=True or X_val and "
        "y_val.",
    ),
    (
        CLASSIFIER,
        {"validation_fraction": 0.3},
        "validation_fraction=0.3 has no effect without early_stopping=True.",
    ),
    (
        CLASSIFIER,
        {"solver": "lbfgs", "early_stopping": True},
        "early_stopping=True has no effect with solver='lbfgs' without X_val and "
        "y_val: pass them to fit.",
    ),
    *(
        (
            CLASSIFIER,
            {"solver": "lbfgs", name: value},
            f"{name}={value!r} has no effect with solver='lbfgs': it needs a "
            "stochastic solver.",
        )
        for name, value in {
            "learning_rate": "cosine",
            "learning_rate_init": 0.01,
            "batch_size": 10,
            "shuffle": False,
            "warmup_epochs": 1.0,
        }.items()
    ),
    (
        CLASSIFIER,
        {"solver": "lbfgs", "n_iter_no_change": 3},
        "n_iter_no_change=3 has no effect with solver='lbfgs': it belongs to "
        "early_stopping with X_val.",
    ),
    (
        CLASSIFIER,
        {"hidden_layer_sizes": (), "dropout": 0.5},
        "dropout=0.5 has no effect without hidden layers.",
    ),
    *(
        (
            CLASSIFIER,
            {"warmup_epochs": warmup, "max_iter": 4, **others},
            f"warmup_epochs={warmup!r} is not less than max_iter=4: the learning rate "
            "still rises when the training ends, and its schedule never begins.",
        )
        for warmup in (4, 4.0, 100)
        for others in ({}, {"learning_rate": "cosine"})
    ),
    (
        CLASSIFIER,
        {"learning_rate": "plateau", "max_iter": 11},
        "learning_rate='plateau' has no effect within max_iter=11 epochs, since it "
        "would change the rate later: see decay_factor=0.1 and plateau_patience=10.",
    ),
    (
        CLASSIFIER,
        {"learning_rate": "step", "max_iter": 10},
        "learning_rate='step' has no effect within max_iter=10 epochs, since it would "
        "change the rate later: see decay_factor=0.1 and decay_epochs=10.",
    ),
    (
        CLASSIFIER,
        {"learning_rate": "step", "max_iter": 12, "warmup_epochs": 2},
        "change the rate later: see decay_factor=0.1 and decay_epochs=10 and "
        "warmup_epochs=2.",
    ),
    *(
        (
            CLASSIFIER,
            {
                "solver": "sgd",
                "learning_rate": "adaptive",
                "n_iter_no_change": patience,
                "max_iter": 12,
            },
            "learning_rate='adaptive' has no effect within max_iter=12 epochs, since "
            f"it would change the rate later: see n_iter_no_change={patience!r}.",
        )
        for patience in (10, np.inf)
    ),
    (
        CLASSIFIER,
        {"learning_rate": "cosine", "n_iter_no_change": 3, "max_iter": 5},
        "n_iter_no_change=3 has no effect with learning_rate='cosine', which trains "
        "for max_iter epochs unless early_stopping=True ends it.",
    ),
]


@pytest.mark.parametrize(("kind", "parameters", "sentence"), ROWS)
def test_a_parameter_without_effect_is_named(kind, parameters, sentence):
    ((text, file),) = told(kind, parameters)
    assert sentence in text
    assert file == __file__


def test_all_are_named_in_one_warning():
    parameters = {"momentum": 0.5, "max_fun": 10, "scoring": "accuracy"}
    ((text, _),) = told(CLASSIFIER, parameters)
    assert all(f"{name}=" in text for name in parameters)
    assert text.count("has no effect") == 3


@pytest.mark.parametrize("y", [Y, T], ids=["classes", "numbers"])
@pytest.mark.parametrize("learning_rate", ["step", "plateau"])
def test_a_schedule_that_is_told_to_be_in_time_changes_the_rate(learning_rate, y):
    """The smallest `max_iter` without the warning is the first with another rate."""
    kind = CLASSIFIER if y is Y else REGRESSOR
    # Nothing improves after the first epoch.
    parameters = {"learning_rate": learning_rate, "learning_rate_init": 1e-9}
    n_epochs = 11 if learning_rate == "step" else 12
    for max_iter in (n_epochs - 1, n_epochs):
        settings = {**parameters, "max_iter": max_iter}
        model = kind(**settings, random_state=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            rates = model.fit(X, y).history_["learning_rate"]
        is_late = len(told(kind, settings)) == 1
        assert is_late == (len(set(rates)) == 1) == (max_iter < n_epochs)


def test_chunks_know_no_last_epoch():
    for parameters in ({"warmup_epochs": 300}, {"learning_rate": "plateau"}):
        model = MLPClassifier(max_iter=3, **parameters)
        with warnings.catch_warnings():
            warnings.simplefilter("error", IneffectiveParameterWarning)
            model.partial_fit(X, Y, classes=[0, 1])


def test_a_split_is_not_made_with_validation_data():
    options = {"X_val": X, "y_val": Y}
    parameters = {"early_stopping": True, "validation_fraction": 0.3}
    ((text, _),) = told(CLASSIFIER, parameters, **options)
    assert text == (
        "validation_fraction=0.3 has no effect with X_val, which replaces the split."
    )
    parameters = {"scoring": "accuracy", "early_stopping": True, "solver": "lbfgs"}
    assert told(CLASSIFIER, parameters, **options) == []


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        (REGRESSOR, {}),
        (CLASSIFIER, {}),
        (CLASSIFIER, {"momentum": 0.9, "max_fun": 15000, "solver": "lbfgs"}),
        (REGRESSOR, {"quantile": [0.1, 0.9], "loss": "quantile"}),
        (REGRESSOR, {"quantile": 0.1, "loss": "quantile"}),
        (REGRESSOR, {"delta": 2.0, "loss": "huber"}),
        (REGRESSOR, {"loss": Loss("cosh", "identity", cosh, cosh_slope)}),
        (
            CLASSIFIER,
            {
                "momentum": 0.5,
                "solver": "sgd",
                "learning_rate": "adaptive",
                "max_iter": 13,
            },
        ),
        (CLASSIFIER, {"power_t": 0.3, "solver": "sgd", "learning_rate": "invscaling"}),
        (CLASSIFIER, {"beta_2": 0.99, "epsilon": 1e-6, "solver": "nadam"}),
        (CLASSIFIER, {"decay_epochs": 3, "learning_rate": "step", "max_iter": 4}),
        (CLASSIFIER, {"decay_epochs": 300, "learning_rate": "exponential"}),
        (CLASSIFIER, {"learning_rate": "plateau", "max_iter": 12}),
        (
            CLASSIFIER,
            {"learning_rate": "step", "max_iter": 12, "warmup_epochs": 1.9},
        ),
        (CLASSIFIER, {"warmup_epochs": 1.9}),
        (CLASSIFIER, {"warmup_epochs": 1, "learning_rate": "one_cycle"}),
        (CLASSIFIER, {"learning_rate": "cosine", "max_iter": 1}),
        (CLASSIFIER, {"learning_rate": "cosine", "n_iter_no_change": np.inf}),
        (CLASSIFIER, {"n_iter_no_change": 3, "early_stopping": True}),
        (
            CLASSIFIER,
            {
                "n_iter_no_change": 3,
                "max_iter": 9,
                "early_stopping": True,
                "learning_rate": "cosine",
            },
        ),
        (CLASSIFIER, {"early_stopping": True, "validation_fraction": 0.3}),
        (CLASSIFIER, {"early_stopping": True, "scoring": "accuracy"}),
        (CLASSIFIER, {"label_smoothing": 0.1}),
        (CLASSIFIER, {"loss": "focal", "focal_gamma": 1.0, "focal_alpha": 0.3}),
    ],
)
def test_parameters_with_an_effect_are_silent(kind, parameters):
    assert told(kind, parameters) == []


def test_warm_starts_and_chunks_warn_at_the_first_call():
    model = MLPClassifier(max_iter=1, momentum=0.5, warm_start=True)
    with pytest.warns(IneffectiveParameterWarning):
        model.fit(X, Y)
    with warnings.catch_warnings():
        warnings.simplefilter("error", IneffectiveParameterWarning)
        model.fit(X, Y)
    chunks = MLPClassifier(momentum=0.5)
    with pytest.warns(IneffectiveParameterWarning):
        chunks.partial_fit(X, Y, classes=[0, 1])
    with warnings.catch_warnings():
        warnings.simplefilter("error", IneffectiveParameterWarning)
        chunks.partial_fit(X, Y)


ONE_HOT = np.eye(3, dtype=int)[np.digitize(T, [-0.5, 0.5])]


@pytest.mark.parametrize(
    "y", [ONE_HOT, sparse.csr_matrix(ONE_HOT)], ids=["dense", "csr"]
)
def test_one_hot_labels_are_noticed(y):
    with pytest.warns(
        UserWarning, match=r"exactly one 1.*y\.argmax\(axis=1\)"
    ) as caught:
        MLPClassifier(max_iter=1).fit(X, y)
    assert [w.filename for w in caught if "argmax" in str(w.message)] == [__file__]


def test_several_labels_are_not_one_hot():
    y = ONE_HOT.copy()
    y[0] = 1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        MLPClassifier(max_iter=1).fit(X, y)
    assert not any("argmax" in str(w.message) for w in caught)
