"""A learning rate range test: which learning rates a network learns with."""

import contextlib
import warnings
from numbers import Integral, Real

import numpy as np
from scipy.ndimage import gaussian_filter1d
from sklearn.base import clone
from sklearn.pipeline import Pipeline
from sklearn.utils import check_scalar

from skmlp.call_site import user_stacklevel
from skmlp.display.networks import refusal
from skmlp.display.plotting import COLORS, legend_above, new_axes
from skmlp.estimators.base import BaseMLP
from skmlp.estimators.parameters import STOCHASTIC_SOLVERS
from skmlp.training.rate_range import RangeTest, RangeTestOver

# Standard deviation of the smoothing over the steps, as a share of their number.
_SMOOTHING = 0.04
# Of the fall of the loss: what lies above has not begun to fall.
_BEGUN = 0.1
# A fall of so many standard errors of the smoothed loss is one.
_MIN_FALL = 4.0
# Above the highest loss before the divergence, the picture ends.
_MARGIN = 0.15


def learning_rate_range(
    estimator,
    X,
    y=None,
    *,
    sample_weight=None,
    min_learning_rate=1e-6,
    max_learning_rate=10.0,
    n_steps=200,
):
    """Suggest a learning rate by a range test.

    Trains a clone with a rate that grows from step to step, from one that changes
    nothing to one that diverges, and suggests the rate at which the smoothed loss of
    the minibatches falls fastest (Smith, 2017). `n_steps` minibatches are trained,
    which on a large data set is less than an epoch. The estimator is left as it is.

    Parameters
    ----------
    estimator : estimator
        `MLPClassifier`, `MLPRegressor` or `MLPAutoencoder` with a stochastic solver, or
        a `Pipeline` that ends with one, whose transformers are fitted once. All that
        the parameters say, as weights of classes or dropout, is as in ``fit``; but for
        schedules: rate, weight decay and dropout do not change otherwise.

    X : {array-like, sparse matrix} of shape (n_samples, n_features)
        Training data.

    y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        Class labels or numbers; None for an autoencoder.

    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows; in a pipeline for the last step.

    min_learning_rate : float, default=1e-6
        Rate of the first step.

    max_learning_rate : float, default=10.0
        Rate of the last step, unless the training diverges before.

    n_steps : int, default=200
        Minibatches to train, at least 20. The fewer they are, the higher are the
        rates that it takes for the loss to fall.

    Returns
    -------
    LearningRateRangeDisplay
        ``suggestion`` is the rate, and ``plot()`` draws the losses by rate.

    Raises
    ------
    TypeError
        For an estimator that is none of this package.
    ValueError
        For ``solver='lbfgs'``, which has no learning rate, for limits that are no
        range, for a rate so high that the first steps diverge, and what ``fit`` raises.

    Warns
    -----
    UserWarning
        Where the loss falls at none of the rates, or still falls fastest at the highest
        of them. In the first case ``suggestion`` is the estimator's own
        ``learning_rate_init``.

    See Also
    --------
    LearningRateRangeDisplay : What is returned.
    LossCurveDisplay : Loss curves of whole trainings.

    References
    ----------
    L. Smith (2017). Cyclical learning rates for training neural networks. WACV.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skmlp import MLPClassifier, learning_rate_range
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = MLPClassifier(random_state=0)
    >>> result = learning_rate_range(clf, X / 16, y)
    >>> 0.001 < result.suggestion < 0.02
    True
    >>> clf = clf.set_params(learning_rate_init=result.suggestion)
    """
    rates = _rates(min_learning_rate, max_learning_rate, n_steps)
    probe = clone(estimator)
    network = probe.steps[-1][1] if isinstance(probe, Pipeline) else probe
    if not isinstance(network, BaseMLP):
        needed = "an MLPClassifier, MLPRegressor or MLPAutoencoder of skmlp"
        raise refusal("learning_rate_range", needed, network)
    if network.solver not in STOCHASTIC_SOLVERS:
        raise ValueError(
            "learning_rate_range needs a stochastic solver: "
            f"solver={network.solver!r} has no learning rate."
        )
    if isinstance(probe, Pipeline) and len(probe.steps) > 1:
        X = probe[:-1].fit_transform(X, y)
    if hasattr(network, "set_callbacks"):
        network.set_callbacks()  # a test is no training to report on
    test = RangeTest(rates)
    network._run_minibatches = test
    arguments = () if y is None else (y,)
    weights = {} if sample_weight is None else {"sample_weight": sample_weight}
    with contextlib.suppress(RangeTestOver):
        network.fit(X, *arguments, **weights)
    return _evaluated(test, rates, network.learning_rate_init)


class LearningRateRangeDisplay:
    """Losses of a learning rate range test, and the rate that they suggest.

    What :func:`~skmlp.learning_rate_range` returns; all arguments are stored as
    attributes.

    Parameters
    ----------
    learning_rates : ndarray of shape (n_steps,)
        Rate of each step, up to the divergence.

    losses : ndarray of shape (n_steps,)
        Loss of each step's minibatch before the step.

    smoothed_losses : ndarray of shape (n_steps,)
        Their means over neighboring steps, weighted by a normal distribution and by the
        rows of the minibatches. Losses above all before the lowest one count as the
        highest of these: the divergence must not reach back.

    suggestion : float
        The rate at which the smoothed loss falls fastest.

    Attributes
    ----------
    ax_ : matplotlib Axes

    figure_ : matplotlib Figure

    loss_points_, smoothed_line_, suggestion_line_ : matplotlib Line2D
        The losses, the smoothed losses and the vertical line at the suggestion.

    See Also
    --------
    LossCurveDisplay : Loss curves of whole trainings.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skmlp import MLPClassifier, learning_rate_range
    >>> X, y = load_digits(return_X_y=True)
    >>> display = learning_rate_range(MLPClassifier(random_state=0), X / 16, y).plot()
    >>> display.ax_.get_xscale()
    'log'
    """

    def __init__(self, *, learning_rates, losses, smoothed_losses, suggestion):
        self.learning_rates = learning_rates
        self.losses = losses
        self.smoothed_losses = smoothed_losses
        self.suggestion = suggestion

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, sample_weight=None, ax=None, **test_params
    ):
        """Run :func:`~skmlp.learning_rate_range` and plot what it returns.

        Parameters
        ----------
        estimator : estimator
            As for the function; it is not fitted.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Training data.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Class labels or numbers; None for an autoencoder.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        ax : matplotlib axes, default=None
            Axes to plot on; None for those of a new figure.

        **test_params : dict
            ``min_learning_rate``, ``max_learning_rate`` and ``n_steps``.

        Returns
        -------
        LearningRateRangeDisplay
            After :meth:`plot`.
        """
        display = learning_rate_range(
            estimator, X, y, sample_weight=sample_weight, **test_params
        )
        return display.plot(ax=ax)

    def plot(
        self, ax=None, *, loss_kwargs=None, smoothed_kwargs=None, suggestion_kwargs=None
    ):
        """Plot the losses by learning rate.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Axes to plot on; None for those of a new figure.

        loss_kwargs, smoothed_kwargs : dict, default=None
            Arguments of matplotlib's `plot` for the losses and the smoothed losses.

        suggestion_kwargs : dict, default=None
            Arguments of matplotlib's `axvline` for the suggestion.

        Returns
        -------
        LearningRateRangeDisplay
            This object, with the artists of this picture.

        Raises
        ------
        ImportError
            Without matplotlib.
        """
        self.ax_ = new_axes(self, ax)
        self.figure_ = self.ax_.figure
        (self.loss_points_,) = self.ax_.plot(
            self.learning_rates,
            self.losses,
            **{
                "color": COLORS[5],
                "linestyle": "none",
                "marker": ".",
                "markersize": 4,
                "label": "Loss of a minibatch",
                **(loss_kwargs or {}),
            },
        )
        (self.smoothed_line_,) = self.ax_.plot(
            self.learning_rates,
            self.smoothed_losses,
            **{"color": COLORS[0], "label": "Smoothed", **(smoothed_kwargs or {})},
        )
        self.suggestion_line_ = self.ax_.axvline(
            self.suggestion,
            **{
                "color": COLORS[1],
                "linestyle": "--",
                "label": f"Suggestion: {self.suggestion:.2g}",
                **(suggestion_kwargs or {}),
            },
        )
        self.ax_.set_xscale("log")
        self.ax_.set_xlabel("Learning rate")
        self.ax_.set_ylabel("Loss")
        self._limit()
        legend_above(
            self.ax_, [self.loss_points_, self.smoothed_line_, self.suggestion_line_]
        )
        return self

    def _limit(self):
        """Leave out of the picture how far the losses go up at the end."""
        seen = self.losses[: np.argmin(self.losses) + 1]
        low, high = seen.min(), seen.max()
        margin = _MARGIN * (high - low) or 1.0
        self.ax_.set_ylim(low - margin, high + margin)


def _rates(lowest, highest, n_steps):
    """The rates of the steps, evenly spaced by their logarithms."""
    for name, value in (("min_learning_rate", lowest), ("max_learning_rate", highest)):
        check_scalar(
            value, name, Real, min_val=0, max_val=np.inf, include_boundaries="neither"
        )
    check_scalar(n_steps, "n_steps", Integral, min_val=20)
    if lowest >= highest:
        raise ValueError(
            f"min_learning_rate must be less than max_learning_rate, got {lowest!r} "
            f"and {highest!r}."
        )
    return np.geomspace(lowest, highest, n_steps)


def _smoothed(losses, n_rows, n_steps):
    """Means over neighboring steps; and their standard error."""
    sigma = _SMOOTHING * n_steps
    losses = np.minimum(losses, losses[: np.argmin(losses) + 1].max())
    weights = np.asarray(n_rows, dtype=float)
    sums, total = (
        gaussian_filter1d(values, sigma, mode="nearest")
        for values in (losses * weights, weights)
    )
    smoothed = sums / total
    end = max(2, int(np.argmin(smoothed)) + 1)
    # Differences of neighbors are noise: the loss itself hardly changes in a step.
    noise = np.sqrt(np.mean(np.diff(losses[:end]) ** 2) / 2)
    return smoothed, noise / np.sqrt(2 * np.sqrt(np.pi) * sigma)


def _evaluated(test, rates, own_rate):
    """The display of a test, with its suggestion."""
    losses = np.array(test.losses)
    if len(losses) < 3:
        raise ValueError(
            f"The training diverges within {len(losses)} steps at learning rates "
            f"from min_learning_rate={rates[0]:g} on: scale X, or lower it."
        )
    smoothed, error = _smoothed(losses, test.n_rows, len(rates))
    tried = rates[: len(losses)]
    lowest = int(np.argmin(smoothed))
    first = np.mean(smoothed[: lowest // 3 + 1])
    fall = first - smoothed[lowest]
    if fall <= _MIN_FALL * error:
        suggestion = float(own_rate)
        ending = "" if len(tried) == len(rates) else ", where the training diverges,"
        warnings.warn(
            f"The loss falls at no learning rate from {tried[0]:.2g} to "
            f"{tried[-1]:.2g}{ending} by more than it varies between minibatches. The "
            f"suggestion is the estimator's own learning_rate_init={suggestion:g}.",
            UserWarning,
            stacklevel=user_stacklevel(),
        )
    else:
        # Noise may be steeper than a fall, where the loss has not begun to fall.
        begin = int(np.flatnonzero(smoothed[: lowest + 1] >= first - _BEGUN * fall)[-1])
        slopes = np.gradient(smoothed, np.log(tried))
        steepest = begin + int(np.argmin(slopes[begin : lowest + 1]))
        suggestion = float(tried[steepest])
        # Smoothing makes the end flatter.
        if steepest >= (1 - 2 * _SMOOTHING) * len(rates) - 1:
            warnings.warn(
                "The loss still falls fastest at max_learning_rate="
                f"{rates[-1]:g}: pass a higher one.",
                UserWarning,
                stacklevel=user_stacklevel(),
            )
    return LearningRateRangeDisplay(
        learning_rates=tried,
        losses=losses,
        smoothed_losses=smoothed,
        suggestion=suggestion,
    )
