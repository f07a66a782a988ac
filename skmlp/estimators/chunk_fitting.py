"""`fit_batches`: to fit on data that need not fit into memory, chunk by chunk."""

from collections.abc import Callable, Iterable
from contextlib import closing, contextmanager
from numbers import Integral
from typing import Any, Self

from sklearn.base import _fit_context
from sklearn.utils.metaestimators import available_if

from skmlp.estimators.chunk_feed import ChunkFeed
from skmlp.estimators.data import UserInput
from skmlp.estimators.first_pass import first_pass
from skmlp.estimators.fitted import Fitted
from skmlp.estimators.parameters import STOCHASTIC_SOLVERS
from skmlp.estimators.suggestions import names_arguments
from skmlp.estimators.validation import ValidationData


class ChunkFitting(Fitted):
    """Base of the estimators with a target: the method `fit_batches`."""

    solver: str
    max_iter: int
    warm_start: bool
    early_stopping: bool
    sampling: Any
    _fit: Any
    _open_callbacks: Any

    def _check_chunks_allowed(self):
        if self.solver not in STOCHASTIC_SOLVERS:
            raise AttributeError(
                "fit_batches is only available for stochastic solvers, not for "
                f"solver={self.solver!r}, which needs all rows for a step."
            )
        return True

    @available_if(_check_chunks_allowed)
    @names_arguments
    @_fit_context(prefer_skip_nested_validation=True)
    def fit_batches(
        self,
        make_chunks: Callable[[], Iterable[Any]],
        n_epochs: int | None = None,
        *,
        classes: Any = None,
        buffer_rows: int | None = None,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Train on data that come in chunks and need not fit into memory.

        As ``fit`` on all rows: curves, schedules, stopping and best epoch go by whole
        epochs, and minibatches across the borders of chunks. Rows are shuffled within a
        buffer, as by ``tf.data``: three quarters of it are drawn at random and trained
        on, while the next chunks are read, in a thread, to take their place. If all
        rows fit into the buffer, the fitted network is that of ``fit``, bit for bit but
        for rounding of sums of weights and of the scale of y.

        Parameters
        ----------
        make_chunks : callable
            ``make_chunks()`` returns a new iterable of the chunks of an epoch, as a
            generator function does: tuples ``(X, y)`` or ``(X, y, sample_weight)`` as
            ``fit`` takes them, or Arrow's tables, record batches and arrays. Every call
            must bring the same rows; their order may differ. A first call, before the
            training, reads y only: to count rows, to find classes, and to scale y.
            With ``class_weight``, ``logit_adjustment`` or ``prior`` there are two.
        n_epochs : int, default=None
            Most epochs; the training stops before that like ``fit``, unless
            ``n_iter_no_change=numpy.inf``. None for the parameter ``max_iter``.
        classes : array-like of shape (n_classes,) or list of such, default=None
            All classes, for several columns those of each. None finds them. Of no use
            in regression.
        buffer_rows : int, default=None
            Rows among which minibatches are drawn. Two buffers of as many are in
            memory, and a chunk. None for 64 MiB of X, but at least 20 minibatches.
            Rows that are sorted, by class or time, need a buffer that is larger than
            the runs, or chunks that mix them.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Validation data, in memory: as of ``fit``. ``early_stopping`` needs them.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Their labels or numbers.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.

        Returns
        -------
        self : object
            The trained estimator. ``resume`` cannot go on with it; ``partial_fit`` and,
            with ``warm_start``, ``fit_batches`` can.

        Raises
        ------
        TypeError, ValueError
            For chunks that cannot be used, by their numbers; for other rows in a later
            epoch; for ``sampling``, which draws from all rows; and when the training
            diverges. The estimator is then unchanged.

        Notes
        -----
        A `numpy.memmap` of the right dtype can be passed to ``fit``, too: it is not
        copied. But ``fit`` reads its rows in random order, which is slow as soon as the
        file is larger than the memory that is left for it.

        Bins of ``embedding``, ``weight_init='data_driven'`` and ``device='auto'`` go by
        the rows that fill the buffer first. Callbacks get no X and no y.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn.datasets import load_digits
        >>> from skmlp import MLPClassifier
        >>> X, y = load_digits(return_X_y=True)
        >>> def chunks():  # might read files
        ...     for start in range(0, len(X), 500):
        ...         yield X[start : start + 500] / 16, y[start : start + 500]
        >>> model = MLPClassifier(random_state=0, n_iter_no_change=np.inf, tol=0,
        ...                       learning_rate="one_cycle", learning_rate_init=0.01)
        >>> model.fit_batches(chunks, 20).score(X / 16, y) > 0.95
        True
        """
        n_epochs = self._checked_epochs(make_chunks, n_epochs, buffer_rows)
        self._check_no_split(X_val)
        resumes = hasattr(self, "coefs_") and self.warm_start
        with self._unchanged_on_failure(), self._parameters_restored():
            self.max_iter = n_epochs
            callbacks = self._open_callbacks(UserInput(None))
            facts = first_pass(self, make_chunks, classes, resumes=resumes)
            feed = ChunkFeed(self, make_chunks, facts, buffer_rows, n_epochs)
            with closing(feed):
                return self._fit(
                    None,
                    ValidationData(X_val, y_val, sample_weight_val),
                    incremental=False,
                    callbacks=callbacks,
                    feed=feed,
                )

    def _checked_epochs(self, make_chunks, n_epochs, buffer_rows):
        """The number of epochs, once the arguments are checked."""
        if not callable(make_chunks):
            raise TypeError(
                "make_chunks must be a function that returns a new iterable of chunks "
                f"for every epoch, got {type(make_chunks).__name__}: pass the "
                "generator function itself, or lambda: chunks for a list."
            )
        n_epochs = self.max_iter if n_epochs is None else n_epochs
        for name, value in (("n_epochs", n_epochs), ("buffer_rows", buffer_rows)):
            if value is None and name == "buffer_rows":
                continue
            if not isinstance(value, Integral) or int(value) < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}.")
        return int(n_epochs)

    def _check_no_split(self, X_val):
        """Refuse parameters that draw from all rows."""
        if self.sampling is not None:
            raise ValueError(
                f"sampling={self.sampling!r} is not supported for fit_batches, which "
                "does not see all rows at once."
            )
        if self.early_stopping and X_val is None:
            raise ValueError(
                "fit_batches does not support early_stopping=True without X_val and "
                "y_val: it cannot split chunks."
            )

    @contextmanager
    def _parameters_restored(self):
        """Restore the parameters that a fit from chunks sets for its time."""
        names = [name for name in ("max_iter", "class_weight") if hasattr(self, name)]
        before = {name: getattr(self, name) for name in names}
        try:
            yield
        finally:
            self.__dict__.update(before)
