"""Dead and saturated units and the gradient, layer by layer, as a picture."""

import math

import numpy as np

from skmlp.display.networks import fitted_network, refusal
from skmlp.display.plotting import COLORS, legend_above, new_axes
from skmlp.estimators.base import BaseMLP
from skmlp.estimators.diagnosis import diagnose

_WIDTH = 0.38


class ActivationDisplay:
    """Dead units, saturated outputs and the gradient of each hidden layer.

    The figures are those of :func:`~skmlp.diagnose`. It is recommended to use
    :meth:`~skmlp.ActivationDisplay.from_estimator`; all arguments are stored as
    attributes.

    Parameters
    ----------
    table : LayerTable
        What `diagnose` returns.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the bars.

    gradient_ax_ : matplotlib Axes or None
        The axes of the gradients, beside `ax_`; None without gradients.

    figure_ : matplotlib Figure

    dead_bars_, saturated_bars_ : BarContainer
        A bar for each hidden layer. That of the saturated outputs is missing, with a
        height of nan, for activations that are not flat at both ends, as 'relu'.

    gradient_line_ : matplotlib Line2D or None

    See Also
    --------
    diagnose : The table.
    LossCurveDisplay : Loss curves.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skmlp import ActivationDisplay, MLPClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = MLPClassifier((50, 50), "tanh", max_iter=300, random_state=0).fit(X, y)
    >>> display = ActivationDisplay.from_estimator(clf, X, y)
    >>> len(display.dead_bars_)
    2
    """

    def __init__(self, *, table):
        self.table = table

    @classmethod
    def from_estimator(
        cls, estimator, X, y=None, *, sample_weight=None, ax=None, **plot_params
    ):
        """Diagnose a fitted network and plot the figures.

        Parameters
        ----------
        estimator : estimator
            `MLPClassifier`, `MLPRegressor` or `MLPAutoencoder`, a `Pipeline` that ends
            with one, or a fitted search for one.

        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            What the estimator receives. A few thousand rows tell as much as all.

        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
            Labels or numbers; with them the gradient of the loss is drawn, too. The
            network receives them as they are: behind a `TransformedTargetRegressor`
            leave them out.

        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.

        ax : matplotlib axes, default=None
            Axes to plot on; None for those of a new figure.

        **plot_params : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        ActivationDisplay
            After :meth:`plot`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
        TypeError
            For an estimator that is none of this package.
        ValueError
            For data that cannot be used.
        """
        network, X = fitted_network(estimator, X)
        if not isinstance(network, BaseMLP):
            needed = "an MLPClassifier or MLPRegressor of skmlp"
            raise refusal("ActivationDisplay", needed, network)
        table = diagnose(network, X, y, sample_weight)
        return cls(table=table).plot(ax=ax, **plot_params)

    def plot(self, ax=None, *, dead_kwargs=None, saturated_kwargs=None):
        """Plot bars, and a line where there are gradients.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Axes to plot on; None for those of a new figure.

        dead_kwargs, saturated_kwargs : dict, default=None
            Arguments of matplotlib's `bar` for the dead units and the saturated
            outputs.

        Returns
        -------
        ActivationDisplay
            This object, with the artists of this picture.

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            For a network without hidden layers.
        """
        rows = self.table.rows
        if not rows:
            raise ValueError("The network has no hidden layers.")
        self.ax_ = new_axes(self, ax, figsize=(max(6.4, 0.9 * len(rows)), 4.8))
        self.figure_ = self.ax_.figure
        at = np.arange(len(rows))
        saturated = np.array([row.saturated for row in rows])
        shows_saturated = not np.isnan(saturated).all()
        shift = _WIDTH / 2 if shows_saturated else 0.0
        self.dead_bars_ = self._bars(
            at - shift,
            np.array([row.dead for row in rows]),
            {"label": "Dead units", "color": COLORS[1], **(dead_kwargs or {})},
        )
        self.saturated_bars_ = self._bars(
            at + shift,
            saturated,
            {
                "label": "Saturated outputs" if shows_saturated else "_saturated",
                "color": COLORS[0],
                **(saturated_kwargs or {}),
            },
        )
        self._draw_gradients(at)
        names = [f"{row.layer}\n{row.activation}\n{row.units} units" for row in rows]
        self.ax_.set_xticks(at, names)
        self.ax_.set_xlim(-0.6, len(rows) - 0.4)
        self.ax_.set_xlabel("Hidden layer")
        self.ax_.set_ylabel("Share")
        self.ax_.set_ylim(0.0, 1.0)
        self.ax_.yaxis.set_major_formatter(_percent_format())
        handles = [self.dead_bars_, self.saturated_bars_, self.gradient_line_]
        top = self.gradient_ax_ or self.ax_
        legend_above(top, [each for each in handles if each is not None])
        return self

    def _bars(self, at, shares, keywords):
        bars = self.ax_.bar(at, shares, **{"width": _WIDTH, **keywords})
        labels = ["" if math.isnan(share) else _percent(share) for share in shares]
        self.ax_.bar_label(bars, labels, padding=2, fontsize="small")
        return bars

    def _draw_gradients(self, at):
        """The gradients, which backpropagation passes from the right to the left."""
        self.gradient_ax_ = self.gradient_line_ = None
        gradients = np.array([row.gradient for row in self.table.rows])
        if np.isnan(gradients).all():
            return
        self.gradient_ax_ = self.ax_.twinx()
        (self.gradient_line_,) = self.gradient_ax_.plot(
            at, gradients, color=COLORS[-1], marker="o", label="Gradient"
        )
        self.gradient_ax_.set_ylabel("Root mean square of the gradient")
        if np.all(gradients > 0):
            self.gradient_ax_.set_yscale("log")
            # A decade at least: gradients that are nearly alike are to look so.
            low, high = gradients.min(), gradients.max()
            room = max(0.25, (1.0 - math.log10(high / low)) / 2)
            self.gradient_ax_.set_ylim(low / 10**room, high * 10**room)


def _percent(share):
    """A share as text; none that is not zero becomes 0 %."""
    return f"{share:.0%}" if share == 0 or share >= 0.01 else "<1%"


def _percent_format():
    from matplotlib.ticker import PercentFormatter

    return PercentFormatter(xmax=1.0)
