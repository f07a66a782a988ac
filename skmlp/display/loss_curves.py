"""The course of trainings: losses, validation scores, kept epochs, learning rates."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from skmlp.display.networks import fitted_network, refusal
from skmlp.display.plotting import (
    COLORS,
    GRAY,
    axes_below,
    legend_above,
    new_axes,
    whole_numbers,
)
from skmlp.estimators.base import BaseMLP

# The three kinds of curves.
_NAMES = ("Training loss", "Validation loss", "Validation score")


class LossCurve(NamedTuple):
    """The course of one training; arrays of shape (n_epochs,), or None.

    Attributes
    ----------
    name : str
    loss : ndarray
    validation_loss, validation_score, learning_rate, seconds : ndarray or None
        None where the training has none; nan for epochs without.
    kept_epoch : int or None
        The epoch whose parameters were kept, counted from 1; None for the last.
    unit : str
        What an element is: 'epoch', or 'iteration' of L-BFGS.
    """

    name: str
    loss: np.ndarray
    validation_loss: np.ndarray | None = None
    validation_score: np.ndarray | None = None
    learning_rate: np.ndarray | None = None
    seconds: np.ndarray | None = None
    kept_epoch: int | None = None
    unit: str = "epoch"


class LossCurveDisplay:
    """Loss curves of one or several trainings.

    Training and validation loss by epoch, the validation score on a second axis, the
    epoch whose parameters early stopping has kept, and the learning rate on axes below
    where a schedule changes it. It is recommended to use
    :meth:`~skmlp.LossCurveDisplay.from_estimator`; all arguments are stored as
    attributes.

    Parameters
    ----------
    curves : list of LossCurve
        The course of each training.

    Attributes
    ----------
    ax_ : matplotlib Axes
        The axes of the losses.

    score_ax_ : matplotlib Axes or None
        The axes of the validation scores, beside `ax_`; None without any.

    learning_rate_ax_ : matplotlib Axes or None
        The axes of the learning rates, below `ax_`; None without any.

    figure_ : matplotlib Figure

    training_lines_, validation_lines_, score_lines_, learning_rate_lines_ : list
        A matplotlib Line2D for each training, or None where it has no such curve.

    kept_markers_ : list
        For each training the Line2D that marks the kept epoch, or None.

    See Also
    --------
    learning_rate_range : Suggests a learning rate.
    ActivationDisplay : Dead and saturated units.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skmlp import LossCurveDisplay, MLPClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = MLPClassifier(early_stopping=True, random_state=0).fit(X, y)
    >>> display = LossCurveDisplay.from_estimator(clf)
    >>> display.training_lines_[0].get_xdata()[:3]
    array([1., 2., 3.])
    """

    def __init__(self, *, curves):
        self.curves = curves

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, x="epoch", **plot_params):
        """Plot the loss curves of fitted estimators.

        Parameters
        ----------
        estimator : estimator, list of estimators or dict of estimators by name
            `MLPClassifier`, `MLPRegressor`, `MLPAutoencoder` or scikit-learn's own
            networks, `Pipeline` objects that end with one, fitted searches for one; and
            `TabularMLPClassifier` or `TabularMLPRegressor`, whose members are drawn.

        ax : matplotlib axes, default=None
            Axes to plot on; None for those of a new figure. They are divided where the
            learning rates are drawn below.

        x : {'epoch', 'seconds'}, default='epoch'
            What the curves are drawn against. The time is that of ``history_``.

        **plot_params : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        LossCurveDisplay
            After :meth:`plot`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
        TypeError
            For an estimator that is no network.
        ValueError
            For a network without a loss curve, as scikit-learn's after L-BFGS.
        """
        curves = [
            curve
            for name, each in _named(estimator).items()
            for curve in _curves(name, each)
        ]
        return cls(curves=curves).plot(ax=ax, x=x, **plot_params)

    def plot(
        self,
        ax=None,
        *,
        x="epoch",
        learning_rate="auto",
        training_kwargs=None,
        validation_kwargs=None,
        score_kwargs=None,
    ):
        """Plot the curves.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Axes to plot on; None for those of a new figure.

        x : {'epoch', 'seconds'}, default='epoch'
            What the curves are drawn against.

        learning_rate : {'auto'} or bool, default='auto'
            Whether to draw the learning rates, on axes below: 'auto' where one of them
            changes.

        training_kwargs, validation_kwargs, score_kwargs : dict, default=None
            Arguments of matplotlib's `plot` for the training losses, the validation
            losses and the validation scores.

        Returns
        -------
        LossCurveDisplay
            This object, with the artists of this picture.

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            For other values of `x` and `learning_rate`, and for the time of a training
            that has recorded none.
        """
        positions = [_positions(curve, x) for curve in self.curves]
        shows_rates = self._shows_rates(learning_rate)
        self.ax_ = new_axes(self, ax, figsize=(6.4, 5.6) if shows_rates else None)
        self.figure_ = self.ax_.figure
        self.score_ax_: Any = None
        self.learning_rate_ax_: Any = None
        if shows_rates:
            self.learning_rate_ax_ = axes_below(self.ax_, share=0.35)
        if any(curve.validation_score is not None for curve in self.curves):
            self.score_ax_ = self.ax_.twinx()
        settings = (
            {"linestyle": "-", **(training_kwargs or {})},
            {"linestyle": "--", **(validation_kwargs or {})},
            {"linestyle": ":", "linewidth": 1.8, **(score_kwargs or {})},
        )
        self._draw(positions, settings)
        self._draw_rates(positions)
        self._label(x, settings)
        return self

    def _shows_rates(self, learning_rate):
        rates = [curve.learning_rate for curve in self.curves]
        rates = [each for each in rates if each is not None]
        if isinstance(learning_rate, bool | np.bool_):
            return bool(learning_rate) and bool(rates)
        if learning_rate != "auto":
            raise ValueError(
                f"learning_rate must be 'auto', True or False, got {learning_rate!r}."
            )
        return any(np.ptp(each) > 0 for each in rates)

    def _color(self, i):
        return COLORS[i % len(COLORS)]

    def _draw(self, positions, settings):
        """The losses, the scores and the marks of kept epochs."""
        self.training_lines_: list[Any] = []
        self.validation_lines_: list[Any] = []
        self.score_lines_: list[Any] = []
        self.kept_markers_: list[Any] = []
        alone = len(self.curves) == 1
        for i, (curve, at) in enumerate(zip(self.curves, positions, strict=True)):
            values = (curve.loss, curve.validation_loss, curve.validation_score)
            axes = (self.ax_, self.ax_, self.score_ax_)
            lines: list[Any] = []
            for j, name in enumerate(_NAMES):
                line = None
                if values[j] is not None:
                    keywords = {"color": self._color(j if alone else i)} | settings[j]
                    if len(at) == 1:
                        keywords = {"marker": "."} | keywords
                    label = name if alone else f"_{name} {i}"
                    (line,) = axes[j].plot(at, values[j], **{"label": label} | keywords)
                lines.append(line)
            self.training_lines_.append(lines[0])
            self.validation_lines_.append(lines[1])
            self.score_lines_.append(lines[2])
            self.kept_markers_.append(self._mark(curve, at, lines))

    def _mark(self, curve, at, lines):
        """A mark of the kept epoch on the scores, which have chosen it."""
        line = lines[2] or lines[0]
        if curve.kept_epoch is None or not 1 <= curve.kept_epoch <= len(at):
            return None
        index = curve.kept_epoch - 1
        (mark,) = line.axes.plot(
            at[index : index + 1],
            line.get_ydata()[index : index + 1],
            marker="o",
            markersize=8,
            markerfacecolor="none",
            markeredgewidth=1.8,
            linestyle="none",
            color=line.get_color(),
            label=f"Kept: {curve.unit} {curve.kept_epoch}",
        )
        return mark

    def _draw_rates(self, positions):
        self.learning_rate_lines_: list[Any] = [None] * len(self.curves)
        below = self.learning_rate_ax_
        if below is None:
            return
        alone = len(self.curves) == 1
        for i, (curve, at) in enumerate(zip(self.curves, positions, strict=True)):
            if curve.learning_rate is not None:
                color = GRAY if alone else self._color(i)
                (self.learning_rate_lines_[i],) = below.plot(
                    at, curve.learning_rate, color=color
                )
        below.set_ylabel("Learning rate")
        drawn = [each.learning_rate for each in self.curves]
        lowest = min(np.min(each) for each in drawn if each is not None)
        if lowest > 0:
            below.set_yscale("log")

    def _label(self, x, settings):
        """Names of the axes, the legend, and ticks at whole epochs."""
        units = sorted({curve.unit for curve in self.curves})
        name = " or ".join(units).capitalize() if x == "epoch" else "Seconds"
        lowest = self.learning_rate_ax_ or self.ax_
        lowest.set_xlabel(name)
        self.ax_.set_ylabel("Loss")
        if x == "epoch":
            whole_numbers(self.ax_.xaxis)
        if self.score_ax_ is not None:
            self.score_ax_.set_ylabel("Validation score")
        # The axes of the scores lie above the others, and the legend above both.
        top = self.score_ax_ or self.ax_
        legend_above(top, self._handles(settings))

    def _handles(self, settings):
        """Entries of the legend: of several trainings a color each, then the styles."""
        lines = [self.training_lines_, self.validation_lines_, self.score_lines_]
        if len(self.curves) == 1:
            single = [*(each[0] for each in lines), self.kept_markers_[0]]
            return [each for each in single if each is not None]
        handles = [
            _proxy(curve.name, {"linestyle": "-", "color": line.get_color()})
            for curve, line in zip(self.curves, self.training_lines_, strict=True)
        ]
        kinds = list(zip(_NAMES, lines, settings, strict=True))
        if any(each is not None for _, found, _ in kinds[1:] for each in found):
            handles += [
                _proxy(name, {**keywords, "color": GRAY})
                for name, found, keywords in kinds
                if any(each is not None for each in found)
            ]
        if any(each is not None for each in self.kept_markers_):
            style = {"marker": "o", "markerfacecolor": "none", "linestyle": "none"}
            handles.append(_proxy("Kept", {**style, "color": GRAY}))
        return handles


def _proxy(label, keywords):
    """A line for the legend alone."""
    from matplotlib.lines import Line2D

    return Line2D([], [], **{**keywords, "label": label})


def _named(estimator):
    """Estimators by name; a single one needs none."""
    if isinstance(estimator, Mapping):
        named = {str(name): each for name, each in estimator.items()}
    elif isinstance(estimator, list | tuple):
        names = [type(fitted_network(each)[0]).__name__ for each in estimator]
        named = {}
        for i, (name, each) in enumerate(zip(names, estimator, strict=True)):
            named[name if names.count(name) == 1 else f"{name} {i + 1}"] = each
    else:
        named = {"": estimator}
    if not named:
        raise ValueError("LossCurveDisplay needs at least one estimator, got none.")
    return named


def _curves(name, estimator):
    """The curves of an estimator: one, or one for each member of an ensemble."""
    network, _ = fitted_network(estimator)
    members = getattr(network, "members_", None)
    if members is None:
        return [_curve(name or type(network).__name__, network)]
    prefix = f"{name}, " if name else ""
    return [_curve(f"{prefix}member {i}", each) for i, each in enumerate(members)]


def _curve(name, network):
    """The curve of a fitted network, of this package or of scikit-learn."""
    if not isinstance(network, BaseMLP):
        return _curve_of_scikit_learn(name, network)
    history = network.history_
    optional = {
        key: np.asarray(history[key], dtype=float)
        for key in ("validation_loss", "validation_score", "learning_rate", "seconds")
        if key in history
    }
    return LossCurve(
        name=name,
        loss=np.asarray(history["loss"], dtype=float),
        kept_epoch=network.best_iter_,
        unit="epoch" if "learning_rate" in history else "iteration",
        **optional,
    )


def _curve_of_scikit_learn(name, network):
    if not hasattr(network, "coefs_"):
        raise refusal("LossCurveDisplay", "an MLPClassifier or MLPRegressor", network)
    if not hasattr(network, "loss_curve_"):
        raise ValueError(
            f"This {type(network).__name__} has no loss_curve_: scikit-learn's "
            "networks record none with solver='lbfgs', those of skmlp do."
        )
    scores, kept = getattr(network, "validation_scores_", None), None
    if scores is not None:
        scores = np.asarray(scores, dtype=float)
        kept = int(np.argmax(scores)) + 1
    loss = np.asarray(network.loss_curve_, dtype=float)
    return LossCurve(name=name, loss=loss, validation_score=scores, kept_epoch=kept)


def _positions(curve, x):
    """Where on the x axis the elements of a curve are."""
    if x == "epoch":
        return np.arange(1.0, len(curve.loss) + 1)
    if x != "seconds":
        raise ValueError(f"x must be 'epoch' or 'seconds', got {x!r}.")
    if curve.seconds is None:
        raise ValueError(f"x='seconds', but {curve.name} has recorded no times.")
    return curve.seconds
