"""Random fits of every size from one to one more than a tile of the matrix product.

Settings are those that `test_random_estimators` draws. Sizes are dealt, so that each
occurs as often as any other as the number of inputs, of units, of outputs, of rows of
a minibatch and of a prediction.
"""

import warnings
from typing import NamedTuple
from unittest import mock

import numpy as np
from scipy import sparse
from test_random_estimators import draw_fit

from skmlp import MLPAutoencoder, MLPClassifier, MLPRegressor
from skmlp.backends.cpu import plan
from skmlp.backends.cpu.gemm import matmul, simd

# What a network is asked for; "as drawn" are the losses of `test_random_estimators`.
KINDS = {
    "as drawn": None,
    "classes": MLPClassifier,
    "labels": MLPClassifier,
    "numbers": MLPRegressor,
    "itself": MLPAutoencoder,
}
# Parameters that go with the kind.
OF_A_KIND = {"loss", "out_activation", "quantile", "class_weight", "label_smoothing"}


class Fit(NamedTuple):
    """An estimator, what it is fitted to, and how the CPU backend cuts the work."""

    estimator: object
    x: object
    y: object
    weights: object
    n_predicted: int
    n_threads: int
    block: int | None


def tile(dtype):
    """Rows and columns of a tile of the matrix product."""
    lanes = simd.VECTOR_BYTES // np.dtype(dtype).itemsize
    return matmul._MR, matmul._NR_VECTORS * lanes


def draw_sized(dealer, dtype):
    """A `Fit` in a precision."""
    estimator, (x, y, weights) = draw_fit(dealer)
    rows_of_tile, columns_of_tile = tile(dtype)
    sizes = range(1, columns_of_tile + 2)
    # Two of each class at least, and last minibatches of any size.
    n_rows = 2 * sizes[-1] + dealer.deal("rows", sizes)
    n_outputs = dealer.deal("outputs", sizes)
    hidden = [dealer.deal("units", sizes) for _ in estimator.hidden_layer_sizes]
    kind = dealer.deal("kind of outputs", ["as drawn", *KINDS])
    if kind != "as drawn":
        estimator = of_kind(KINDS[kind], estimator)
        y = targets(kind, (n_rows, n_outputs), dealer.rng)
    else:
        y = np.resize(y, (n_rows, *y.shape[1:]))
    shape = n_rows, dealer.deal("inputs", sizes)
    is_dense = kind == "itself" or not sparse.issparse(x)
    x = dealer.rng.normal(size=shape) * (dealer.rng.random(shape) < 0.7)
    embeds = is_dense and kind != "itself" and dealer.deal("embeds", [True, False])
    if embeds:
        # What an embedding refuses.
        estimator.set_params(input_noise=0.0)
        if estimator.normalization == "batch":
            estimator.set_params(normalization="layer")
    if kind == "itself":
        # The drawn list has one activation a layer.
        hidden = [*hidden, 1][:1]
        estimator.set_params(activation="tanh")
    estimator.set_params(
        hidden_layer_sizes=hidden,
        batch_size=dealer.deal("batch", sizes),
        max_iter=2,
        dtype=dtype,
        embedding="piecewise_linear" if embeds else None,
        embedding_dim=dealer.deal("embedding dim", range(1, 10)),
        n_bins=dealer.deal("bins", range(2, 18)),
    )
    return Fit(
        estimator,
        x if is_dense else sparse.csr_array(x),
        y,
        None if weights is None else np.resize(weights, n_rows),
        dealer.deal("predicted", sizes),
        dealer.deal("threads", [1, 2]),
        dealer.deal("block", [None, *range(1, rows_of_tile + 2)]),
    )


def of_kind(make, estimator):
    """Another estimator with the same settings, but for those of its own kind."""
    other = make()
    common = other.get_params().keys() & estimator.get_params().keys()
    given = estimator.get_params()
    return other.set_params(**{name: given[name] for name in common - OF_A_KIND})


def targets(kind, shape, rng):
    """Targets for so many outputs."""
    n_rows, n_outputs = shape
    if kind == "classes":
        return np.arange(n_rows) % max(2, n_outputs)
    if kind == "labels":
        return rng.integers(0, 2, (n_rows, max(2, n_outputs)))
    return rng.normal(size=shape) if kind == "numbers" else None


def run(fit):
    """The bits of a fitted model and of its predictions, or its exception."""
    estimator, x, y, weights, n_predicted, n_threads, block = fit
    patches = {"threads_for": lambda work, n_jobs, *least: n_threads}
    if block is not None:
        patches["block_rows"] = lambda sizes, batch_size, itemsize: block
        patches["predict_rows"] = lambda width, n_rows, itemsize: min(block, n_rows)
    with mock.patch.multiple(plan, **patches), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            estimator.fit(x, y, sample_weight=weights)
        except Exception as error:  # the same as without guard pages
            return f"{type(error).__name__}: {error}"
        names = ("predict_proba", "decision_function", "predict", "transform")
        calls = [getattr(estimator, name, None) for name in names]
        found = [call(x[:n_predicted]) for call in calls if call is not None]
        return [np.asarray(part).tobytes() for part in [*estimator.coefs_, *found]]
