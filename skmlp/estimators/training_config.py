"""The training's configuration: solver, stopping and regularization from parameters.

Checks of parameters that do not go together stand here too. `check_combinations` makes
those that need no data; `TrainingConfig.from_estimator` makes the others.
"""

import warnings
from typing import NamedTuple

import numpy as np
from scipy import sparse
from sklearn.utils._param_validation import make_constraint

from skmlp.backends import Regularization
from skmlp.call_site import user_stacklevel
from skmlp.estimators.devices import required_dtype
from skmlp.estimators.feature_embedding import check_embedding
from skmlp.estimators.parameters import STOCHASTIC_SOLVERS
from skmlp.estimators.rate_factors import rate_segments
from skmlp.estimators.row_sampling import check_sampling
from skmlp.rules.schedules import SCHEDULES
from skmlp.training.lbfgs import LBFGSConfig
from skmlp.training.minibatch import MinibatchConfig
from skmlp.training.optimizer_state import OptimizerConfig, make_optimizer_config


def check_combinations(estimator, *, incremental, has_validation_data):
    """Refuse parameters that the solver or ``partial_fit`` would not respect.

    Parameters
    ----------
    estimator : BaseMLP
    incremental : bool
        Whether this is a call of ``partial_fit``.
    has_validation_data : bool
        Whether the user has passed ``X_val``.

    Raises
    ------
    ValueError
    """
    # scikit-learn does not let `partial_fit` validate those of a fitted estimator.
    if incremental and not _names_are_known(estimator):
        estimator._validate_params()
    if incremental and estimator.early_stopping and not has_validation_data:
        raise ValueError(
            "partial_fit does not support early_stopping=True without X_val and y_val"
        )
    if incremental:
        _check_schedules_without_end(estimator)
    if estimator.weight_decay > 0 and estimator.solver not in STOCHASTIC_SOLVERS:
        raise ValueError(
            f"weight_decay > 0 needs a stochastic solver, not {estimator.solver!r}: "
            "there the L2 penalty alpha does the same."
        )
    if estimator.solver in STOCHASTIC_SOLVERS:
        check_sampling(estimator)
    _check_matmul_precision(estimator)
    check_embedding(estimator)


def _check_schedules_without_end(estimator):
    """Refuse, for partial_fit, schedules that end with the last epoch."""
    for parameter in ("learning_rate", "weight_decay_schedule", "dropout_schedule"):
        name = getattr(estimator, parameter)
        if SCHEDULES[name].ends:
            raise ValueError(
                f"partial_fit does not support {parameter}={name!r}, which ends with "
                "the last epoch: partial_fit does not know the last."
            )


def _names_are_known(estimator):
    """Whether the parameters that select rules have allowed values."""
    return all(
        any(
            make_constraint(constraint).is_satisfied_by(getattr(estimator, name))
            for constraint in estimator._parameter_constraints[name]
        )
        for name in (
            *("solver", "learning_rate", "weight_decay_schedule", "dropout_schedule"),
            *("loss", "out_activation", "sampling"),
        )
    )


def _check_matmul_precision(estimator):
    """Refuse TensorFloat-32 on the CPU and with float64."""
    if estimator.matmul_precision != "tf32":
        return
    if estimator.device == "cpu":
        raise ValueError(
            "matmul_precision='tf32' needs a GPU, by device='cuda' or device='auto', "
            "got device='cpu': no CPU multiplies in that format. Use "
            "matmul_precision='highest'."
        )
    if required_dtype(estimator) != np.float32:
        raise ValueError(
            "matmul_precision='tf32' needs dtype='float32' or dtype=None, got "
            f"dtype={estimator.dtype!r}: its products have float32 factors. Use "
            "matmul_precision='highest'."
        )


class TrainingConfig(NamedTuple):
    """How to train.

    Attributes
    ----------
    minibatch : MinibatchConfig or None
    optimizer : OptimizerConfig or None
        Both None with L-BFGS.
    lbfgs : LBFGSConfig or None
        None with a stochastic solver.
    regularization : Regularization
    """

    minibatch: MinibatchConfig | None
    optimizer: OptimizerConfig | None
    lbfgs: LBFGSConfig | None
    regularization: Regularization

    @classmethod
    def from_estimator(cls, estimator, network, x, n_rows, generator, *, incremental):
        """The configuration of an estimator's parameters.

        Parameters
        ----------
        estimator : BaseMLP
        network : Network
        x : canonical X
        n_rows : int
            Rows to train on.
        generator : numpy.random.RandomState
            Draws the seed of dropout and noise, only where there are any, so that all
            other fits draw the same numbers as scikit-learn's.
        incremental : bool
            Whether this is a call of ``partial_fit``.

        Raises
        ------
        ValueError
            For dropout rates and factors of the learning rate that are not one per
            layer or out of range, for noise on sparse data, and for what L-BFGS does
            not support.
        """
        regularization = _regularization(estimator, network, x, generator)
        if estimator.solver not in STOCHASTIC_SOLVERS:
            return cls(
                minibatch=None,
                optimizer=None,
                lbfgs=_lbfgs_config(estimator),
                regularization=regularization,
            )
        return cls(
            minibatch=_minibatch_config(estimator, n_rows, incremental),
            optimizer=make_optimizer_config(
                estimator, rate_segments(estimator, network)
            ),
            lbfgs=None,
            regularization=regularization,
        )

    def resumed(self, resumption, first_step):
        """The configuration of a fit by minibatches that goes on at some step."""
        assert self.minibatch is not None
        return self._replace(
            minibatch=self.minibatch._replace(
                max_iter=resumption.max_iter, n_resumed=resumption.n_epochs
            ),
            regularization=self.regularization._replace(first_step=first_step),
        )

    def of_chunks(self):
        """The configuration of a fit from chunks, with which `resume` cannot go on."""
        assert self.minibatch is not None
        return self._replace(minibatch=self.minibatch._replace(of_chunks=True))


def _minibatch_config(estimator, n_rows, incremental):
    if estimator.batch_size == "auto":
        batch_size = min(200, n_rows)
    else:
        if estimator.batch_size > n_rows:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than sample size. It is "
                f"going to be clipped: batch_size={estimator.batch_size} becomes "
                f"{n_rows}, the number of rows to train on.",
                stacklevel=user_stacklevel(),
            )
        batch_size = int(min(estimator.batch_size, n_rows))
    return MinibatchConfig(
        batch_size=batch_size,
        max_iter=estimator.max_iter,
        tol=estimator.tol,
        n_iter_no_change=estimator.n_iter_no_change,
        verbose=estimator.verbose,
        incremental=incremental,
        max_time=estimator.max_time,
    )


def _lbfgs_config(estimator):
    return LBFGSConfig(
        max_iter=estimator.max_iter,
        max_fun=estimator.max_fun,
        tol=estimator.tol,
        n_iter_no_change=estimator.n_iter_no_change,
        max_time=estimator.max_time,
        verbose=estimator.verbose,
    )


def _regularization(estimator, network, x, generator):
    rates = _dropout_rates(estimator.dropout, len(network.activations))
    noise = float(estimator.input_noise)
    if noise > 0 and sparse.issparse(x):
        raise ValueError(
            f"input_noise={noise} needs dense X: noise would make sparse X dense."
        )
    if estimator.solver == "lbfgs":
        _check_lbfgs_support(estimator, rates)
    needs_seed = any(rates) or noise > 0
    return Regularization(
        dropout=rates if any(rates) else (),
        has_dropout_schedule=SCHEDULES[estimator.dropout_schedule].varies
        and any(rates),
        input_noise=noise,
        max_norm=_or_infinity(estimator.max_norm),
        max_grad_norm=_or_infinity(estimator.max_grad_norm),
        seed=int(generator.randint(2**31 - 1)) if needs_seed else 0,
    )


def _or_infinity(limit):
    return float("inf") if limit is None else float(limit)


def _dropout_rates(dropout, n_hidden):
    """Dropout rate of each hidden layer, from the parameter ``dropout``."""
    if not np.iterable(dropout):
        return (float(dropout),) * n_hidden
    rates = tuple(dropout)
    if len(rates) != n_hidden:
        raise ValueError(
            f"dropout must be one rate for all hidden layers or a list of {n_hidden}, "
            f"one a layer, got {len(rates)}: {dropout!r}."
        )
    array = np.asarray(rates)
    is_numeric = array.dtype.kind in "fiu" and array.ndim == 1
    if not (is_numeric and np.all((array >= 0) & (array < 1))):
        raise ValueError(f"dropout must have rates in [0, 1), got {dropout!r}.")
    return tuple(array.tolist())


def _check_lbfgs_support(estimator, rates):
    """Refuse what would make the loss differ from call to call, or need minibatches."""
    is_set = {
        "normalization": estimator.normalization == "batch",
        "dropout": any(rates),
        "input_noise": estimator.input_noise > 0,
        "max_norm": estimator.max_norm is not None,
        "max_grad_norm": estimator.max_grad_norm is not None,
    }
    for name in is_set:
        if is_set[name]:
            raise ValueError(
                f"{name}={getattr(estimator, name)!r} needs a stochastic solver, got "
                "solver='lbfgs'."
            )
