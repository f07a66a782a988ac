"""What an autoencoder needs beside a regressor: its code, its targets, its warnings.

The target of a row is the row itself. Dense targets share the memory of X; those of a
sparse X are dense and cost memory, which is limited here.
"""

import warnings
from types import SimpleNamespace
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import DataDimensionalityWarning
from sklearn.utils.validation import (
    _check_sample_weight,
    check_array,
    check_is_fitted,
)

from skmlp.call_site import is_silent, user_stacklevel
from skmlp.estimators import devices
from skmlp.estimators.data import UserInput, as_supported, canonical_x
from skmlp.estimators.gpu_arrays import GpuArray, returns_like_input
from skmlp.estimators.poor_fit_causes import column_moments, names_of
from skmlp.estimators.prediction import Prediction
from skmlp.exceptions import PoorFitWarning
from skmlp.network import NormState, norm_state, pack, views
from skmlp.rules.activations import IDENTITY
from skmlp.rules.loss_choice import regression_loss
from skmlp.rules.target_range import target_range

# Elements of a dense X that a sparse one may be turned into: 2 GB in float64.
_MAX_BYTES = 1 << 31
# Elements of the rows that are reconstructed at once.
_BLOCK_ELEMENTS = 1 << 20
# Rows that are looked at for a warning.
_MAX_ROWS = 1000
# Ratio of standard deviations from which the smaller column hardly counts: a part in
# 10,000 of the squared error. And the share of its variance that is hardly learned.
_RATIO, _HARDLY = 100.0, 0.05


def code_layer(layer, sizes):
    """Index of the hidden layer that is the code.

    Parameters
    ----------
    layer : int or None
        The parameter; None for the first of the narrowest.
    sizes : list of int
        Units of the hidden layers.

    Raises
    ------
    ValueError
    """
    if not sizes:
        raise ValueError(
            "hidden_layer_sizes has no layer, but a code is one of the hidden layers: "
            "hidden_layer_sizes=(64, 8, 64) for example."
        )
    if layer is None:
        return int(np.argmin(sizes))
    if not -len(sizes) <= layer < len(sizes):
        raise ValueError(
            f"layer == {layer}, must be in [{-len(sizes)}, {len(sizes) - 1}]: there "
            f"are {len(sizes)} hidden layers."
        )
    return int(layer) % len(sizes)


def check_dense_size(x, what):
    """Refuse to make an array of X's shape of a sparse X that is too large.

    Parameters
    ----------
    x : ndarray, scipy.sparse CSR or GpuArray
    what : str
        What is dense, as the subject of a sentence.

    Raises
    ------
    ValueError
    """
    n_bytes = x.shape[0] * x.shape[1] * x.dtype.itemsize
    if sparse.issparse(x) and n_bytes > _MAX_BYTES:
        raise ValueError(
            f"{what} of this sparse X of shape {x.shape} would take {n_bytes:,} bytes, "
            f"more than {_MAX_BYTES:,}. Pass fewer rows at a time (partial_fit trains "
            "on one part of X after the other), reduce the columns before, as by "
            "TruncatedSVD, or pass X.toarray()."
        )


def dense_rows(x):
    """Canonical X as an array on the host; an array is not copied."""
    if sparse.issparse(x):
        return x.toarray()
    return x[np.arange(len(x))] if isinstance(x, GpuArray) else x


def row_blocks(x):
    """Slices of rows, of about as many elements each."""
    n_rows, n_columns = x.shape
    step = max(1, _BLOCK_ELEMENTS // n_columns)
    return [slice(start, start + step) for start in range(0, n_rows, step)]


def rows_of(x, rows):
    """Some rows of canonical X in canonical form, on the host."""
    if isinstance(x, GpuArray):
        return x[np.arange(*rows.indices(len(x)))]
    return canonical_x(x[rows], x.dtype)


def cut_before(network, params, layer):
    """The network behind a hidden layer, whose outputs are its input.

    Parameters
    ----------
    network : Network
    params : ndarray
    layer : int
        Index of the hidden layer.

    Returns
    -------
    network : Network
    params : ndarray
        A new vector.
    """
    begin = layer + 1
    coefs, intercepts = views(network, params)
    norms = NormState(*(part[begin:] for part in norm_state(network, params)))
    rest = network._replace(
        sizes=network.sizes[begin:],
        activations=network.activations[begin:],
        normalization=network.normalization if network.activations[begin:] else None,
        embedding=None,
        loss=None,
    )
    vector = pack(coefs[begin:], intercepts[begin:], params.dtype, norms.parts)
    return rest, vector


def warn_of_wide_code(estimator, network, layer):
    """Warn of a code so wide that X can be copied through all layers.

    Parameters
    ----------
    estimator : MLPAutoencoder
    network : skmlp.network.Network
    layer : int
        Index of the code.
    """
    n_features = network.n_features
    if min(network.sizes[1:-1]) < n_features or n_features == 1:
        return
    if estimator.input_noise > 0 or np.any(np.asarray(estimator.dropout) > 0):
        return
    warnings.warn(
        f"The code has {network.sizes[layer + 1]} units and X {n_features} columns: no "
        "layer is narrower than X, so that the network may learn to copy it. Make a "
        "layer of hidden_layer_sizes narrower, or set input_noise.",
        DataDimensionalityWarning,
        stacklevel=user_stacklevel(),
    )


def warn_of_unlearned_columns(estimator, problem, params, backend):
    """Warn of columns that are not reconstructed because others are much larger.

    Parameters
    ----------
    estimator : MLPAutoencoder
    problem : skmlp.backends.Problem
        What the network was trained on.
    params : ndarray
    backend : skmlp.backends.Backend
    """
    network = problem.network
    # Outputs of bounded or positive ranges are in units of their own.
    if is_silent(PoorFitWarning) or not all(np.isinf(target_range(network.loss))):
        return
    if problem.targets.shape[1] != network.sizes[-1]:
        return
    rows = problem.row_ids
    if len(rows) > _MAX_ROWS:
        rows = rows[np.linspace(0, len(rows) - 1, _MAX_ROWS).astype(np.int64)]
    targets = problem.targets[rows].astype(np.float64)
    _, spreads = column_moments(targets)
    # A column that is seldom not zero has a small spread in any unit, but a range.
    ranges = np.ptp(targets, axis=0)
    small = (ranges > 0) & (ranges * _RATIO < ranges.max())
    small &= spreads * _RATIO < spreads.max()
    if not small.any():
        return
    x = canonical_x(problem.x[rows], problem.x.dtype)
    found, _ = backend.outputs(network, params, x, network.output, 1)
    errors = np.mean((np.asarray(found, dtype=np.float64) - targets) ** 2, axis=0)
    unlearned = small & (errors > (1 - _HARDLY) * spreads**2)
    if not unlearned.any():
        return
    n_unlearned = int(unlearned.sum())
    warnings.warn(
        f"{n_unlearned} of {len(spreads)} columns are hardly reconstructed, since "
        f"others are at least {_RATIO:.0f} times as large: standard deviations are "
        f"{spreads[unlearned].max():.2g} at most "
        f"({names_of(estimator, spreads, unlearned)}) and up to {spreads.max():.2g} "
        f"({names_of(estimator, spreads, spreads >= spreads.max())}). Scale X: "
        "make_pipeline(StandardScaler(), ...).",
        PoorFitWarning,
        stacklevel=user_stacklevel(),
    )


def losses_of_rows(network, params, x, backend, n_jobs):
    """Reconstruction loss of each row, a block of rows at a time.

    Parameters
    ----------
    network : Network
        With its loss.
    params : ndarray
    x : ndarray, scipy.sparse CSR or GpuArray
        Canonical.
    backend : skmlp.backends.Backend
    n_jobs : int or None

    Returns
    -------
    ndarray of float64 of shape (n_samples,)
    """
    losses = np.empty(x.shape[0])
    for rows in row_blocks(x):
        part = rows_of(x, rows)
        raw, _ = backend.outputs(network, params, part, IDENTITY, n_jobs)
        losses[rows] = backend.row_losses(network, raw, dense_rows(part))
    return losses


def check_range(estimator, loss, targets):
    """Refuse an X outside of the range of the loss's distribution.

    Parameters
    ----------
    estimator : MLPAutoencoder
    loss : LossRow
    targets : ndarray of shape (n_samples, n_features)

    Raises
    ------
    ValueError
    """
    if np.isinf(loss.low) and np.isinf(loss.high):
        return
    low = targets.min(axis=0)
    too_low = low < loss.low if loss.closed else low <= loss.low
    bad = np.flatnonzero(too_low | (targets.max(axis=0) > loss.high))
    if len(bad) == 0:
        return
    column = targets[:, bad[0]]
    names = getattr(estimator, "feature_names_in_", None)
    name = f"column {bad[0]}" if names is None else f"column {str(names[bad[0]])!r}"
    needed = f"X {'>=' if loss.closed else '>'} {loss.low:g}"
    if np.isfinite(loss.high):
        needed += f" and X <= {loss.high:g}"
    output = ""
    if estimator.out_activation != "auto":
        output = f" with out_activation={estimator.out_activation!r}"
    raise ValueError(
        f"loss={loss.name!r}{output} needs {needed}, but {name} goes from "
        f"{column.min():g} to {column.max():g}."
    )


class Reconstruction(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Prediction):
    """What a fitted autoencoder does: codes, the way back, and errors."""

    def _trained_loss(self):
        """The row of the loss that the network was trained with, and its parameters."""
        settings = SimpleNamespace(**self._loss_settings)
        loss = regression_loss(settings.loss, settings.out_activation, settings)
        return loss, loss.loss_params(settings, self.n_features_in_)

    @property
    def _n_features_out(self):
        return len(self.intercepts_[self.layer_])

    @returns_like_input
    def transform(self, X: Any) -> Any:
        """The code of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_units)
            In the precision of the model.
        """
        check_is_fitted(self)
        return self.hidden_activations(X, self.layer_)

    @returns_like_input
    def inverse_transform(self, X: Any) -> Any:
        """Reconstruct rows from their codes.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_units)
            Codes, as `transform` returns them.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            In the precision of the model.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from skmlp import MLPAutoencoder
        >>> X = load_iris().data
        >>> model = MLPAutoencoder((2,), learning_rate="cosine", random_state=0).fit(X)
        >>> code = model.transform(X)
        >>> code.shape, model.inverse_transform(code).shape
        ((150, 2), (150, 4))
        """
        check_is_fitted(self)
        network, params = self._fitted_network()
        code = dense_rows(X) if isinstance(X, GpuArray) else X
        code = check_array(code, dtype=params.dtype, order="C", input_name="X")
        expected = network.sizes[self.layer_ + 1]
        if code.shape[1] != expected:
            raise ValueError(
                f"X has {code.shape[1]} columns, but the code has {expected} units."
            )
        network, params = cut_before(network, params, self.layer_)
        backend = devices.prediction_backend(self, code)
        outputs, _ = backend.outputs(network, params, code, network.output, self.n_jobs)
        return self._decoded(outputs)

    def _decoded(self, outputs):
        loss, params = self._trained_loss()
        return loss.decoder(params).prediction(outputs)

    @returns_like_input
    def reconstruct(self, X: Any) -> Any:
        """What the network makes of each row: ``inverse_transform(transform(X))``.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            In the precision of the model; dense for sparse X, too.

        Raises
        ------
        ValueError
            If that were more than 2 GB for a sparse X.
        """
        check_is_fitted(self)
        if hasattr(X, "nnz"):
            check_dense_size(X, "The reconstruction")
        return self._decoded(self._outputs(X))

    @returns_like_input
    def score_samples(self, X: Any) -> Any:
        """Minus the reconstruction error of each row: low for anomalies.

        The error is the row's loss, summed over the columns, as in ``loss_``: with
        ``loss='squared_error'`` half the squared error. As in `IsolationForest` and
        `GaussianMixture` a larger score means a row more like those of the training.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            A sparse X is not made dense, but for some rows at a time.

        Returns
        -------
        ndarray of shape (n_samples,)
            Zero at best; a loss that is a density has no bound.
        """
        check_is_fitted(self)
        x = canonical_x(self._validate_for_prediction(X), self.coefs_[0].dtype)
        loss, loss_params = self._trained_loss()
        network, params = self._fitted_network()
        network = network._replace(loss=loss, loss_params=loss_params)
        backend = devices.prediction_backend(self, x)
        return -losses_of_rows(network, params, x, backend, self.n_jobs)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Mean of `score_samples`: minus the mean reconstruction error.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
        y : Ignored
            For pipelines and searches.
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        Returns
        -------
        float
            The higher, the better.
        """
        X, _, sample_weight = as_supported(
            self.device, UserInput(X, None, sample_weight)
        )
        scores = np.asarray(self.score_samples(X))
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, scores)
        return float(np.average(scores, weights=sample_weight))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        allowed = devices.allowed_dtypes(self)
        allowed = allowed if isinstance(allowed, tuple) else (allowed,)
        names = [np.dtype(dtype).name for dtype in allowed]
        tags.transformer_tags.preserves_dtype = names
        return tags
