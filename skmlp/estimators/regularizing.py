"""What the parameters say about regularization beside the L2 penalty."""

import numpy as np
from scipy import sparse

from skmlp.backends import Regularization


def regularization(estimator, network, x, generator):
    """What is done to the network while it is trained.

    Parameters
    ----------
    estimator : BaseMLP
        For its parameters ``dropout``, ``input_noise``, ``normalization``,
        ``max_norm``, ``max_grad_norm`` and ``solver``.
    network : Network
    x : canonical X
    generator : numpy.random.RandomState
        A number is drawn from it where dropout or noise need one, and only there, so
        that other fits draw the same as scikit-learn's.

    Returns
    -------
    Regularization

    Raises
    ------
    ValueError
        For rates that are not one a layer or not in [0, 1), for noise on sparse data,
        and for what L-BFGS cannot do.
    """
    rates = _rates(estimator.dropout, len(network.activations))
    noise = float(estimator.input_noise)
    if noise > 0 and sparse.issparse(x):
        raise ValueError(
            f"input_noise={noise} needs dense X: noise would make sparse X dense."
        )
    if estimator.solver == "lbfgs":
        _refuse_with_lbfgs(estimator, rates)
    needs_seed = any(rates) or noise > 0
    return Regularization(
        dropout=rates if any(rates) else (),
        input_noise=noise,
        max_norm=_or_infinity(estimator.max_norm),
        max_grad_norm=_or_infinity(estimator.max_grad_norm),
        seed=int(generator.randint(2**31 - 1)) if needs_seed else 0,
    )


def _or_infinity(limit):
    return float("inf") if limit is None else float(limit)


def _rates(dropout, n_hidden):
    """Rate of dropout of each hidden layer, from the parameter ``dropout``."""
    if not np.iterable(dropout):
        return (float(dropout),) * n_hidden
    rates = tuple(dropout)
    if len(rates) != n_hidden:
        raise ValueError(
            f"dropout must be one rate for all hidden layers or a list of {n_hidden}, "
            f"one a layer, got {len(rates)}: {dropout!r}."
        )
    numbers = np.asarray(rates)
    known = numbers.dtype.kind in "fiu" and numbers.ndim == 1
    if not (known and np.all((numbers >= 0) & (numbers < 1))):
        raise ValueError(f"dropout must have rates in [0, 1), got {dropout!r}.")
    return tuple(numbers.tolist())


def _refuse_with_lbfgs(estimator, rates):
    """L-BFGS needs the same loss at every call, and no steps but its own.

    Statistics of minibatches are those of steps: a sweep over all rows has none.
    """
    given = {
        "normalization": estimator.normalization == "batch",
        "dropout": any(rates),
        "input_noise": estimator.input_noise > 0,
        "max_norm": estimator.max_norm is not None,
        "max_grad_norm": estimator.max_grad_norm is not None,
    }
    for name, is_given in given.items():
        if is_given:
            raise ValueError(
                f"{name}={getattr(estimator, name)!r} needs a stochastic solver, got "
                "solver='lbfgs'."
            )
