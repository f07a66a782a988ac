"""The training of an estimator: what it opens, and what it calls.

The methods after `_train` are where a training on one machine differs from one that
shares its minibatches with others (see `skmlp.data_parallel`).
"""

from typing import Any

from skmlp.backends import Problem
from skmlp.estimators.callbacks import listening
from skmlp.estimators.dead_units import candidate_layers
from skmlp.estimators.fit_values import fit_result
from skmlp.estimators.holdout import split_rows
from skmlp.estimators.parameters import STOCHASTIC_SOLVERS
from skmlp.estimators.row_sampling import rows_of_epochs
from skmlp.estimators.training_config import TrainingConfig
from skmlp.estimators.validation import ValidationScorer
from skmlp.training import lbfgs, minibatch
from skmlp.training.history import History
from skmlp.training.optimizer_state import OptimizerState
from skmlp.training.stopping import check_finite


class Training:
    """Base of the estimators: from validated data to a trained network."""

    # A range test of learning rates has another loop.
    _run_minibatches: Any = staticmethod(minibatch.train)
    _validation_history: Any
    solver: Any
    early_stopping: Any
    best_epoch: Any
    alpha: Any
    n_jobs: Any

    def _prepare(self, fit, objective):
        """Set what depends on the rows to train on; may change ``fit.params``."""

    def _train(self, fit):
        """Train: the result, the `Problem`, and layers to check for dead units."""
        network = fit.network
        stochastic = self.solver in STOCHASTIC_SOLVERS
        row_ids, held_out = fit.sample.row_ids, fit.held_out
        if stochastic and self.early_stopping and held_out is None:
            row_ids, others = split_rows(self, fit.sample, fit.generator)
            held_out = fit.sample._replace(row_ids=others)
        config = TrainingConfig.from_estimator(
            self,
            network,
            fit.sample.x,
            n_rows=self._n_rows_of_epoch(row_ids),
            generator=fit.generator,
            incremental=fit.incremental,
        )
        optimizer = self._initial_optimizer(fit, config.optimizer)
        if fit.resumption is not None:
            config = config.resumed(fit.resumption, first_step=optimizer.t)
        problem = self._problem(fit, row_ids, config.regularization)
        objective, orders = problem, None
        if stochastic:
            problem = problem._replace(given_segments=optimizer.segments)
            problem, objective, orders = self._orders(problem, fit.generator)
        self._prepare(fit, objective)
        # Iterations of L-BFGS are no epochs: they have a separate history.
        history = fit.resumable if stochastic else History()
        history.validation = self._validation_history(fit, history, held_out)
        if history.validation is not None:
            history.validation.keeps_last = self.best_epoch == "last"
        with self._open_session(fit, problem) as session:
            scorer = None
            if held_out is not None:
                scorer = self._scorer(fit, session, held_out)
            with self._listening(fit) as listener:
                others = scorer, listener
                if stochastic:
                    outcome = self._run_minibatches(
                        session, optimizer, history, config.minibatch, orders, *others
                    )
                else:
                    outcome = lbfgs.minimize(
                        session, fit.params, history, config.lbfgs, *others
                    )
            layers = [] if fit.incremental else candidate_layers(network, session)
        if stochastic and not history.stops_by_score:
            # An overflowed square would make all further steps zero.
            check_finite(optimizer.slots)
        return fit_result(fit, outcome, history, optimizer), objective, layers

    def _n_rows_of_epoch(self, row_ids):
        """Rows that an epoch trains on, by which minibatches and steps are counted."""
        return len(row_ids)

    def _orders(self, problem, generator):
        """What is trained on, and the order of the rows (see `rows_of_epochs`)."""
        return rows_of_epochs(self, problem, generator)

    def _open_session(self, fit, problem):
        """A session of the training, as a context manager."""
        return fit.target.backend.open_session(problem, fit.params, self.n_jobs)

    def _scorer(self, fit, session, held_out):
        """A callable that returns loss and score of held-out data."""
        return ValidationScorer(self, fit.network, fit.target, session, held_out)

    def _listening(self, fit):
        """Who is told of epochs, as a context manager."""
        return listening(self, fit)

    def _initial_optimizer(self, fit, config):
        """The optimizer to train with; L-BFGS leaves an earlier one alone."""
        optimizer = getattr(self, "_optimizer", None) if fit.resumes else None
        if config is None:
            return optimizer
        dtype = fit.params.dtype
        if fit.resumption is not None and optimizer is not None:
            return optimizer.copy(dtype)
        # A schedule that has reached its end has no rate, or no strength, left.
        if fit.incremental and optimizer is not None and not optimizer.planned_epochs:
            return optimizer.copy(dtype)
        return OptimizerState(config, fit.params.size, dtype)

    def _problem(self, fit, row_ids, regularization):
        return Problem(
            network=fit.network,
            x=fit.sample.x,
            targets=fit.sample.targets,
            sample_weight=fit.sample.sample_weight,
            row_ids=row_ids,
            alpha=self.alpha,
            regularization=regularization,
            matmul_precision=fit.target.matmul_precision,
        )
