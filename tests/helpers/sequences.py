"""Random sequences of calls, made of one estimator class as of another.

A sequence is drawn from its number as a whole, before anything runs, so that it can be
played again: by scikit-learn, by skmlp, and by scikit-learn with X perturbed in its
last digits, which tells a chaotic training from a wrong one.
"""

import copy
import pickle
import warnings
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
from random_cases import Dealer
from scipy import sparse
from sklearn.base import clone
from sklearn.neural_network._base import LOSS_FUNCTIONS

CLASSIFIERS = ("binary", "names", "multiclass", "multilabel")
REGRESSIONS = ("regression", "several")
KINDS = (*CLASSIFIERS, *REGRESSIONS)
FITTED = ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_")


class Sequence(NamedTuple):
    """One estimator's life.

    Attributes
    ----------
    kind : str
        Of the target.
    settings : dict
        Arguments of the constructor.
    seed : int
        Of the generator that is its random_state.
    calls : list of (str, object)
        Name of the operation and what it needs.
    """

    kind: str
    settings: dict
    seed: int
    calls: list


class Outcome(NamedTuple):
    """What a call has left: an exception, or what can be compared.

    Attributes
    ----------
    error : BaseException or None
    found : dict
    saturated : bool
        Whether scikit-learn has clipped a probability, in this call or an earlier one.
    """

    error: BaseException | None
    found: dict[str, Any]
    saturated: bool = False


class _Watch:
    """scikit-learn's losses: of several outputs the sum, and watched for clipping."""

    def __init__(self):
        self.saturated = False
        self._originals = dict(LOSS_FUNCTIONS)

    def _watched(self, name):
        def loss(y_true, y_prob, sample_weight=None):
            if min(y_prob.min(), 1.0 - y_prob.max()) < 1e-6:
                self.saturated = True
            return self._originals[name](y_true, y_prob, sample_weight)

        return loss

    def _summed(self, y_true, y_pred, sample_weight=None):
        loss = self._originals["squared_error"](y_true, y_pred, sample_weight)
        return loss * y_true.shape[1]

    def in_place(self):
        """Context manager."""
        return mock.patch.dict(
            LOSS_FUNCTIONS,
            squared_error=self._summed,
            log_loss=self._watched("log_loss"),
            binary_log_loss=self._watched("binary_log_loss"),
        )


def target(kind, x, rng):
    """A target of some kind for the rows of x."""
    signal = x @ rng.normal(size=x.shape[1]) + 0.3 * rng.normal(size=len(x))
    if kind == "regression":
        return signal
    if kind == "several":
        return np.column_stack([signal, x[:, 0] - signal])
    if kind == "multilabel":
        return np.column_stack([signal > 0, x[:, 0] > 0, signal < 0.5]).astype(int)
    y = np.zeros(len(x), dtype=int)
    y[:] = np.arange(len(x)) % (3 if kind == "multiclass" else 2)
    order = np.argsort(signal)
    y[order] = np.sort(y)
    return np.array(["no", "yes"])[y] if kind == "names" else y


def stored(x, form):
    """X as a caller may hold it."""
    make = {
        "C": np.ascontiguousarray,
        "F": np.asfortranarray,
        "strided": lambda a: np.repeat(a, 2, axis=0)[::2],
        "read-only": lambda a: _read_only(a),
        "list": lambda a: a.tolist(),
        "CSR": sparse.csr_matrix,
        "CSC": sparse.csc_array,
        "COO": sparse.coo_array,
        "big-endian": lambda a: a.astype(">f8"),
    }
    return make[form](x)


def _read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


FORMS = (
    "C",
    "C",
    "F",
    "strided",
    "read-only",
    "list",
    "CSR",
    "CSC",
    "COO",
    "big-endian",
)


def draw(number):
    """The sequence of a number."""
    dealer = Dealer(number)
    rng = dealer.rng
    kind = dealer.one_of(*KINDS)
    n_features = int(rng.integers(1, 8))
    solver = dealer.one_of("adam", "adam", "sgd", "sgd", "lbfgs")
    full = dealer.flip(0.3)
    settings = {
        "hidden_layer_sizes": dealer.one_of((), (1,), (4,), (7, 3), [5], 6, (2, 3, 4)),
        "activation": dealer.one_of("relu", "tanh", "logistic", "identity"),
        "solver": solver,
        "alpha": dealer.one_of(0.0, 1e-4, 0.1),
        "batch_size": 1000 if full else dealer.one_of("auto", 1, 5, 16, 33),
        "learning_rate": dealer.one_of("constant", "invscaling", "adaptive"),
        "learning_rate_init": dealer.one_of(1e-3, 0.01),
        "power_t": dealer.one_of(0.5, 0.2),
        "max_iter": int(rng.integers(1, 9)),
        "shuffle": dealer.flip(0.8),
        "tol": dealer.one_of(0.0, 1e-4, 1e-2),
        "momentum": dealer.one_of(0.0, 0.9),
        "nesterovs_momentum": dealer.flip(),
        "beta_1": dealer.one_of(0.9, 0.5),
        "epsilon": dealer.one_of(1e-8, 1e-4),
        "n_iter_no_change": dealer.one_of(1, 2, 10),
        "max_fun": 200,
        "early_stopping": kind in ("binary", "names", "regression")
        and solver != "lbfgs"
        and dealer.flip(0.2),
        "validation_fraction": 0.25,
    }
    settings["warm_start"] = not settings["early_stopping"] and dealer.flip(0.3)
    calls = []
    for _ in range(int(rng.integers(2, 8))):
        calls.append(_draw_call(dealer, kind, n_features, settings, full))
    return Sequence(kind, settings, int(rng.integers(2**31)), calls)


def _draw_call(dealer, kind, n_features, settings, full):
    rng = dealer.rng
    name = dealer.one_of(
        "fit", "fit", "partial_fit", "partial_fit", "set_params", "predict",
        "pickle", "clone", "deepcopy",
    )  # fmt: skip
    if name in ("fit", "partial_fit", "predict"):
        n_rows = int(rng.integers(8, 60))
        x = rng.normal(size=(n_rows, n_features)) * dealer.one_of(0.3, 1.0, 3.0)
        x[rng.random(x.shape) < dealer.one_of(0.0, 0.5)] = 0.0
        y = target(kind, x, rng)
        if kind in ("binary", "names", "multiclass"):
            # All classes in every call, each with rows for early stopping.
            y = y[rng.permutation(n_rows)] if dealer.flip(0.3) else y
        weights = None
        if dealer.flip(0.2):
            weights = rng.uniform(0.5, 2, n_rows) if full else np.full(n_rows, 0.7)
            if settings["early_stopping"]:
                weights = None
        return name, (x, y, weights, dealer.one_of(*FORMS))
    if name == "set_params":
        changes = {
            "alpha": dealer.one_of(0.0, 0.01),
            "learning_rate_init": dealer.one_of(2e-3, 0.02),
            "max_iter": int(rng.integers(1, 6)),
            "shuffle": dealer.flip(),
            "activation": dealer.one_of("relu", "tanh"),
            "momentum": dealer.one_of(0.5, 0.8),
            "n_iter_no_change": dealer.one_of(1, 4),
        }
        key = dealer.one_of(*changes)
        return name, {key: changes[key]}
    return name, None


def play(sequence, classes, noise=None):
    """The outcomes of a sequence's calls, up to the first exception.

    Parameters
    ----------
    sequence : Sequence
    classes : (type, type)
        Classifier and regressor.
    noise : numpy Generator, default=None
        Perturbs X by some units in the last place.
    """
    cls = classes[sequence.kind in REGRESSIONS]
    estimator = cls(
        **sequence.settings, random_state=np.random.RandomState(sequence.seed)
    )
    outcomes, watch = [], _Watch()
    with warnings.catch_warnings(), watch.in_place():
        warnings.simplefilter("ignore")
        for name, what in sequence.calls:
            try:
                estimator, found = _call(estimator, name, what, sequence.kind, noise)
                outcomes.append(Outcome(None, found, watch.saturated))
            except Exception as error:
                outcomes.append(Outcome(error, {}, watch.saturated))
                break
    return outcomes


def _call(estimator, name, what, kind, noise):
    if name == "set_params":
        return estimator.set_params(**what), {}
    if name in ("pickle", "clone", "deepcopy"):
        make = {
            "pickle": lambda e: pickle.loads(pickle.dumps(e)),
            "clone": clone,
            "deepcopy": copy.deepcopy,
        }[name]
        return make(estimator), {}
    x, y, weights, form = what
    if noise is not None:
        x = x * (1 + 4e-16 * noise.choice([-1, 1], size=x.shape))
    given = stored(x, form)
    if name == "predict":
        return estimator, predictions(estimator, given, kind)
    options = {} if weights is None else {"sample_weight": weights}
    if name == "partial_fit" and kind in CLASSIFIERS:
        options["classes"] = np.arange(3) if kind == "multilabel" else np.unique(y)
    getattr(estimator, name)(given, y, **options)
    return estimator, fitted(estimator) | predictions(estimator, given, kind)


def fitted(estimator):
    """Fitted attributes, as arrays."""
    found = {name: np.asarray(getattr(estimator, name)) for name in FITTED}
    for name in ("coefs_", "intercepts_"):
        for i, part in enumerate(getattr(estimator, name)):
            found[f"{name}[{i}]"] = np.array(part)
    found["loss_"] = np.asarray(estimator.loss_)
    return found


def predictions(estimator, x, kind):
    """What the estimator says of some rows."""
    found = {"predict": np.asarray(estimator.predict(x))}
    if kind in CLASSIFIERS:
        found["predict_proba"] = estimator.predict_proba(x)
    return found
