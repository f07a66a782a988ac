"""Random lives of estimators: the kernels' numbers are those of the reference backend.

For what scikit-learn lacks: activations, losses, solvers, schedules, regularization and
normalization, as `test_random_estimators` draws them, in sequences of calls, and the
estimators for tables. `python tests/trust/test_reference_sequences.py 2000` plays as
many sequences in all cores and lists those that differ.
"""

import copy
import pickle
import sys
import warnings
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.base import clone

TESTS = Path(__file__).parents[1]
# The drawing of one fit stands beside its own tests.
sys.path += [str(TESTS / "helpers"), str(TESTS / "estimators")]

from random_cases import Dealer  # noqa: E402
from test_random_estimators import draw_fit  # noqa: E402

import skmlp  # noqa: E402
from skmlp.backends import _MODULES  # noqa: E402

N_QUICK, N_SLOW = 4, 60
TOLERANCE = 1e-6
# A training is chaotic where the reference itself moves by a tenth of the difference
# when X is perturbed in its last digits.
N_PERTURBATIONS, SHARE = 4, 0.1
CALLS = ("partial_fit", "warm start", "resume", "pickle", "deepcopy", "clone", "fit")


def draw(number):
    """An estimator, its data and the calls of a sequence."""
    dealer = Dealer(number)
    if number % 8 == 7:
        return draw_table(dealer)
    estimator, data = draw_fit(dealer)
    if estimator.normalization == "layer" and 1 in estimator.hidden_layer_sizes:
        # One unit less its mean is 0: all that follows is rounding.
        estimator.set_params(normalization=None)
    calls = ["fit", *(dealer.one_of(*CALLS) for _ in range(3))]
    return estimator, data, calls


def draw_table(dealer):
    """An estimator for tables, and one with categories, dates and gaps."""
    rng = dealer.rng
    table = pd.DataFrame(rng.normal(size=(80, 2)), columns=["a", "b"])
    table.loc[rng.random(80) < 0.2, "b"] = np.nan
    table["city"] = pd.Categorical(np.array(["x", "y", "z"])[rng.integers(0, 3, 80)])
    table["day"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(80), "D")
    y = table["a"] + (table["city"] == "x")
    kind = dealer.one_of(skmlp.TabularMLPClassifier, skmlp.TabularMLPRegressor)
    y = (y > 0.3).astype(int) if kind is skmlp.TabularMLPClassifier else y
    seed = int(rng.integers(1000))
    params = {"max_iter": 2, "dtype": "float64"}
    estimator = kind(n_members=2, mlp_params=params, random_state=seed)
    return estimator, (table, y, None), ["fit", "pickle", "deepcopy", "fit"]


def play(number, backend, noise=None):
    """What each call of a sequence leaves behind, as arrays, or its exception."""
    estimator, (x, y, weights), calls = draw(number)
    estimator = clone(estimator)
    if noise is not None:
        x = perturbed(x, noise)
    found = []
    modules = mock.patch.dict(_MODULES, cpu=f"skmlp.backends.{backend}")
    with modules, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in calls:
            try:
                estimator = call(estimator, name, x, y, weights)
            except Exception as error:
                # The estimator is as it was, and the sequence goes on.
                found.append(f"{type(error).__name__}: {error}")
                continue
            if is_fitted(estimator):
                found.append(state(estimator, x))
    return found


def is_fitted(estimator):
    """Whether there is something to compare."""
    return hasattr(estimator, "coefs_") or hasattr(estimator, "n_features_in_")


def perturbed(x, noise):
    """X, its numbers moved by some units in the last place."""
    if isinstance(x, pd.DataFrame):
        numbers = perturbed(x[["a", "b"]].to_numpy(), noise)
        return x.assign(a=numbers[:, 0], b=numbers[:, 1])
    other = sparse.csr_array(x) if sparse.issparse(x) else np.array(x)
    data = other.data if sparse.issparse(x) else other
    data *= 1 + 4e-16 * noise.choice([-1, 1], size=data.shape)
    return other


def call(estimator, name, x, y, weights):
    """One call of a sequence."""
    if name == "pickle":
        return pickle.loads(pickle.dumps(estimator))
    if name == "deepcopy":
        return copy.deepcopy(estimator)
    if name == "clone":
        return clone(estimator)
    options = {} if weights is None else {"sample_weight": weights}
    if name == "resume":
        return estimator.resume(x, y, **options)
    if name == "partial_fit":
        if hasattr(estimator, "classes_"):
            options["classes"] = estimator.classes_
        return estimator.partial_fit(x, y, **options)
    estimator.set_params(**({"warm_start": True} if name == "warm start" else {}))
    return estimator.fit(x, y, **options)


def state(estimator, x):
    """Weights, curves and raw predictions, as one vector."""
    parts = []
    for name in ("coefs_", "intercepts_", "norm_scales_", "norm_means_"):
        parts += getattr(estimator, name, None) or []
    parts += [getattr(estimator, "loss_curve_", [])]
    predict = getattr(estimator, "decision_function", estimator.predict)
    if hasattr(estimator, "predict_proba"):
        predict = estimator.predict_proba
    parts.append(predict(x))
    return np.concatenate([np.ravel(p).astype(float) for p in parts])


def distance(one, other):
    """The largest difference, relative to the largest number."""
    if isinstance(one, str) or isinstance(other, str):
        return 0.0 if isinstance(one, str) and one == other else np.inf
    if one.shape != other.shape:
        return np.inf
    scale = max(1.0, np.max(np.abs(other), initial=0.0))
    return float(np.max(np.abs(one - other), initial=0.0) / scale)


def judge(number):
    """What nothing explains in a sequence, or None."""
    expected, found = play(number, "reference"), play(number, "cpu")
    if len(expected) != len(found):
        return f"sequence {number}: {found[-1]}, there {expected[-1]}"
    for i, (mine, theirs) in enumerate(zip(found, expected, strict=True)):
        far = distance(mine, theirs)
        if far > TOLERANCE:
            again = [
                play(number, "reference", np.random.default_rng(seed))
                for seed in range(N_PERTURBATIONS)
            ]
            moved = max(distance(each[i], theirs) for each in again)
            is_chaotic = far <= moved / SHARE
            return None if is_chaotic else f"sequence {number}, call {i}: {far}"
    return None


@pytest.mark.parametrize(
    "number",
    [
        *range(N_QUICK),
        *(pytest.param(n, marks=pytest.mark.slow) for n in range(N_QUICK, N_SLOW)),
    ],
)
def test_sequences_equal_those_of_the_reference(number):
    assert judge(number) is None


def main():
    import joblib

    count = int(sys.argv[1]) if len(sys.argv) > 1 else N_SLOW
    lines = joblib.Parallel(-1)(joblib.delayed(judge)(n) for n in range(count))
    different = [line for line in lines if line is not None]
    print(f"{count} sequences: {len(different)} unexplained", *different, sep="\n")
    sys.exit(bool(different))


if __name__ == "__main__":
    main()
