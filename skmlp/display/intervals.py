"""Prediction intervals of regressors: quantiles, or a mean with its spread."""

import numpy as np
from sklearn.utils.validation import check_consistent_length, column_or_1d

from skmlp.display.interval_bounds import (
    feature_values,
    normal_intervals,
    quantile_intervals,
)
from skmlp.display.networks import (
    fitted_network,
    refusal,
    transforms_target,
)
from skmlp.display.plotting import COLORS, legend_above, new_axes
from skmlp.estimators.regressor import MLPRegressor

KINDS = ("auto", "band", "bars")
# A bound that goes up and down by more than so many times its range is no curve over x,
# and a band between two such bounds hides what it should show.
_MAX_WIGGLES = 10.0
# Rows to draw, with bars and with a band.
_MAX_ROWS = (200, 500)
# Shades of blue of the widest interval and of the narrowest.
_LIGHT, _DARK = np.array([0.78, 0.88, 0.96]), np.array([0.42, 0.66, 0.86])


class PredictionIntervalDisplay:
    """Prediction intervals by row, and the share of targets that they cover.

    It is recommended to use
    :meth:`~skmlp.PredictionIntervalDisplay.from_estimator` or
    :meth:`~skmlp.PredictionIntervalDisplay.from_predictions`; all arguments are stored
    as attributes.

    Parameters
    ----------
    lower, upper : ndarray of shape (n_samples, n_intervals)
        Bounds of the intervals, the widest first.

    levels : ndarray of shape (n_intervals,)
        Their nominal coverages.

    y_pred : ndarray of shape (n_samples,) or None, default=None
        Predictions: the median or the mean.

    y_true : ndarray of shape (n_samples,) or None, default=None
        Targets.

    x : ndarray of shape (n_samples,) or None, default=None
        What the rows are drawn against. None for their rank by prediction.

    x_name : str or None, default=None
        Its name.

    Attributes
    ----------
    coverage_ : ndarray of shape (n_intervals,) or None
        Share of the targets within each interval, of all rows; None without targets.

    order_ : ndarray of int
        The rows that are drawn, in the order of `x`.

    ax_ : matplotlib Axes

    figure_ : matplotlib Figure

    intervals_ : list of matplotlib collections
        For each interval a band (FillBetweenPolyCollection) or a bar a row
        (LineCollection).

    prediction_line_ : matplotlib Line2D or None

    covered_points_, missed_points_ : matplotlib PathCollection or None
        Targets within the widest interval, and outside of it.

    See Also
    --------
    MLPRegressor : With ``loss='quantile'`` or ``loss='gaussian_nll'``.

    Examples
    --------
    >>> import numpy as np
    >>> from skmlp import MLPRegressor, PredictionIntervalDisplay
    >>> rng = np.random.default_rng(0)
    >>> X = rng.uniform(-2, 2, (1000, 1))
    >>> y = X.ravel() ** 2 + np.exp(X.ravel()) / 4 * rng.normal(size=1000)
    >>> reg = MLPRegressor("quantile", quantile=[0.05, 0.5, 0.95], random_state=0,
    ...                    learning_rate="cosine")
    >>> display = PredictionIntervalDisplay.from_estimator(reg.fit(X, y), X, y)
    >>> bool(abs(display.coverage_[0] - 0.9) < 0.05)
    True
    """

    def __init__(
        self, *, lower, upper, levels, y_pred=None, y_true=None, x=None, x_name=None
    ):
        self.lower = lower
        self.upper = upper
        self.levels = levels
        self.y_pred = y_pred
        self.y_true = y_true
        self.x = x
        self.x_name = x_name

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, feature=None, coverage=0.9, ax=None, **plot_params
    ):
        """Predict with a fitted regressor and plot its intervals.

        Parameters
        ----------
        estimator : estimator
            `MLPRegressor` trained for two or more quantiles, or with a loss that learns
            the standard deviation, as ``loss='gaussian_nll'``; a `Pipeline` that ends
            with one, or a fitted search for one.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            What the estimator receives.

        y : array-like of shape (n_samples,), default=None
            Targets, to draw them and to count how many are covered.

        feature : int or str, default=None
            The feature of X to draw against, by index or name. None for the only one,
            and of several features for the rank of the rows by prediction.

        coverage : float or list of float, default=0.9
            Nominal coverages of the intervals of a normal distribution. Quantiles have
            those of their levels.

        ax : matplotlib axes, default=None
            Axes to plot on; None for those of a new figure.

        **plot_params : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        PredictionIntervalDisplay
            After :meth:`plot`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
        TypeError
            For an estimator that is no regressor of this package, and for one whose
            predictions a `TransformedTargetRegressor` changes.
        ValueError
            For a regressor that predicts no interval or several targets, and for a
            feature that is not in X or is not numeric.
        """
        network, inputs = fitted_network(estimator, X)
        if not isinstance(network, MLPRegressor):
            raise refusal(
                "PredictionIntervalDisplay", "an MLPRegressor of skmlp", network
            )
        if transforms_target(estimator):
            raise TypeError(
                "PredictionIntervalDisplay cannot transform intervals back: in place "
                "of a TransformedTargetRegressor use MLPRegressor(scale_target=True)."
            )
        levels, std = network._decoder.levels, None
        if network._decoder.std is not None:
            y_pred, std = network.predict(inputs, return_std=True)
        elif levels is not None and len(levels) > 1:
            y_pred = network.predict(inputs)
        else:
            raise ValueError(
                "The regressor predicts no interval: train it with loss='quantile' and "
                "two or more levels, or with loss='gaussian_nll'."
            )
        x, x_name = feature_values(X, feature)
        return cls.from_predictions(
            y,
            y_pred,
            std=std,
            quantile=None if std is not None else levels,
            coverage=coverage,
            x=x,
            x_name=x_name,
            ax=ax,
            **plot_params,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true,
        y_pred,
        *,
        quantile=None,
        std=None,
        coverage=0.9,
        x=None,
        x_name=None,
        ax=None,
        **plot_params,
    ):
        """Plot intervals that are given by quantiles or by standard deviations.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,) or None
            Targets.

        y_pred : array-like of shape (n_samples, n_quantiles) or (n_samples,)
            Quantiles, or with `std` the means.

        quantile : array-like of shape (n_quantiles,), default=None
            Levels of the quantiles, ascending. The lowest and the highest bound the
            widest interval, and so on to the middle one, which is drawn as a line.

        std : array-like of shape (n_samples,), default=None
            Standard deviations of normal distributions.

        coverage : float or list of float, default=0.9
            Nominal coverages of the intervals for `std`.

        x : array-like of shape (n_samples,), default=None
            What the rows are drawn against; None for their rank by prediction.

        x_name : str, default=None
            Its name.

        ax : matplotlib axes, default=None
            Axes to plot on; None for those of a new figure.

        **plot_params : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        PredictionIntervalDisplay
            After :meth:`plot`.

        Raises
        ------
        ValueError
            For values that do not fit together or are out of range.
        """
        if (quantile is None) == (std is None):
            raise ValueError("Pass either quantile or std, and not both.")
        if std is not None:
            bounds = normal_intervals(y_pred, std, coverage)
        else:
            bounds = quantile_intervals(y_pred, quantile)
        lower, upper, levels, center = bounds
        if y_true is not None:
            y_true = column_or_1d(y_true).astype(float)
        if x is not None:
            x = column_or_1d(x)
        check_consistent_length(lower, y_true, x)
        display = cls(
            lower=lower,
            upper=upper,
            levels=levels,
            y_pred=center,
            y_true=y_true,
            x=x,
            x_name=x_name,
        )
        return display.plot(ax=ax, **plot_params)

    def plot(
        self,
        ax=None,
        *,
        kind="auto",
        max_rows="auto",
        interval_kwargs=None,
        line_kwargs=None,
        scatter_kwargs=None,
    ):
        """Plot the intervals, the predictions and the targets.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Axes to plot on; None for those of a new figure.

        kind : {'auto', 'band', 'bars'}, default='auto'
            'band' fills between the bounds, 'bars' draws a line for each row, and
            'auto' is a band where the bounds are smooth over `x`.

        max_rows : int, 'auto' or None, default='auto'
            Rows to draw at most, evenly spaced by rank; None for all, 'auto' for 500
            with a band and 200 with bars. The coverage is that of all rows.

        interval_kwargs : dict, default=None
            Arguments of matplotlib's `fill_between` or `vlines`.

        line_kwargs, scatter_kwargs : dict, default=None
            Arguments of matplotlib's `plot` for the predictions, and of its `scatter`
            for the targets.

        Returns
        -------
        PredictionIntervalDisplay
            This object, with the artists of this picture.

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            For another `kind`.
        """
        if kind not in KINDS:
            names = ", ".join(map(repr, KINDS))
            raise ValueError(f"kind must be one of {names}, got {kind!r}.")
        self.coverage_ = self._coverage()
        is_band = self._is_band(kind)
        at = self._positions(_MAX_ROWS[is_band] if max_rows == "auto" else max_rows)
        lower, upper = self.lower[self.order_], self.upper[self.order_]
        self.ax_ = new_axes(self, ax)
        self.figure_ = self.ax_.figure
        self.intervals_ = []
        for i, level in enumerate(self.levels):
            style = self._style(i, level, is_band=is_band) | (interval_kwargs or {})
            draw = self.ax_.fill_between if is_band else self.ax_.vlines
            self.intervals_.append(draw(at, lower[:, i], upper[:, i], **style))
        self.prediction_line_ = None
        if self.y_pred is not None:
            (self.prediction_line_,) = self.ax_.plot(
                at,
                self.y_pred[self.order_],
                **{
                    "color": COLORS[0],
                    "label": "Prediction",
                    # Beside bars, lines between rows would cross everything.
                    "linestyle": "-" if is_band or self.x is None else "none",
                    "marker": "" if is_band or self.x is None else "_",
                    **(line_kwargs or {}),
                },
            )
        self._scatter(at, scatter_kwargs or {})
        self._label()
        return self

    def _coverage(self):
        if self.y_true is None:
            return None
        y = self.y_true[:, np.newaxis]
        return np.mean((self.lower <= y) & (y <= self.upper), axis=0)

    def _sorted(self):
        """All rows, in the order of `x`, or by prediction."""
        key = self.x
        if key is None:
            middle = (self.lower[:, -1] + self.upper[:, -1]) / 2
            key = middle if self.y_pred is None else self.y_pred
        return np.argsort(key, kind="stable")

    def _is_band(self, kind):
        if kind != "auto":
            return kind == "band"
        order = self._sorted()
        bounds = (self.lower[order, 0], self.upper[order, 0])
        return all(_is_smooth(bound) for bound in bounds)

    def _positions(self, max_rows):
        """Sets `order_`; returns where its rows are on the x axis."""
        order = self._sorted()
        ranks = np.arange(len(order))
        if max_rows is not None and len(order) > max_rows:
            ranks = np.linspace(0, len(order) - 1, max_rows).round().astype(int)
        self.order_ = order[ranks]
        return ranks if self.x is None else self.x[self.order_]

    def _style(self, i, level, *, is_band):
        label = f"{level:.0%} interval"
        if self.coverage_ is not None:
            label += f", covers {self.coverage_[i]:.1%}"
        # Opaque shades, from light to dark: those within others do not add up.
        share = i / max(1, len(self.levels) - 1)
        shade = _LIGHT + share * (_DARK - _LIGHT)
        style = {"color": tuple(shade), "label": label, "zorder": 1 + 0.1 * i}
        if is_band:
            return style | {"linewidth": 0.0}
        return style | {"linewidth": 1.0 + 1.5 * i}

    def _scatter(self, at, keywords):
        self.covered_points_ = self.missed_points_ = None
        if self.y_true is None:
            return
        y = self.y_true[self.order_]
        inside = (self.lower[self.order_, 0] <= y) & (y <= self.upper[self.order_, 0])
        shared = {"s": 12, "linewidths": 1.0, "zorder": 2.5}
        covered = {"color": "0.35", "marker": ".", "label": "Targets"}
        missed = {"color": COLORS[1], "marker": "x", "label": "Targets outside"}
        draw = self.ax_.scatter
        self.covered_points_ = draw(
            at[inside], y[inside], **{**shared, **covered, **keywords}
        )
        self.missed_points_ = draw(
            at[~inside], y[~inside], **{**shared, **missed, **keywords}
        )

    def _label(self):
        if self.x is None:
            self.ax_.set_xlabel("Rows by prediction")
        else:
            self.ax_.set_xlabel("x" if self.x_name is None else self.x_name)
        self.ax_.set_ylabel("Target")
        handles = [*self.intervals_, self.prediction_line_]
        handles += [self.covered_points_, self.missed_points_]
        legend_above(self.ax_, [each for each in handles if each is not None])


def _is_smooth(bound):
    """Whether a bound, in the order of x, is a curve and no zigzag."""
    return bool(np.sum(np.abs(np.diff(bound))) <= _MAX_WIGGLES * np.ptp(bound))
