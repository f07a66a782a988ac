"""Weights as pictures: of units, of features by units, or their spread by layer."""

from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skmlp.display.networks import fitted_network, refusal
from skmlp.display.plotting import COLORS, DIVERGING, new_axes, whole_numbers

KINDS = ("image", "heatmap", "distribution")
# Inputs from which on a square number of them is taken for an image.
_MIN_PIXELS = 64
# Names of features, or of layers, that are legible below each other.
_MAX_NAMES = 40
# The colors span all weights but one in a thousand, lest a single one hide the others.
_QUANTILE = 0.999


class WeightsDisplay:
    """Weights of a network: images of units, a heatmap, or their spread.

    It is recommended to use :meth:`~skmlp.WeightsDisplay.from_estimator`; all arguments
    are stored as attributes.

    Parameters
    ----------
    coefs : list of ndarray of shape (fan_in, fan_out)
        The weights of each layer.

    feature_names : list of str or None, default=None
        Names of the inputs; None for 'x0', 'x1' and so on.

    image_shape : tuple of int or None, default=None
        Height and width of the image that a row of X is, for images of the weights.

    Attributes
    ----------
    ax_ : matplotlib Axes

    figure_ : matplotlib Figure

    image_ : matplotlib AxesImage or None
        The images of the units as one mosaic, or the heatmap.

    units_ : ndarray of int or None
        The units that are drawn, in their order.

    features_ : ndarray of int or None
        The features that the heatmap has, in their order.

    colorbar_ : matplotlib Colorbar or None

    boxes_ : dict of lists of artists or None
        What matplotlib's `bxp` returns, for the spread by layer.

    See Also
    --------
    ActivationDisplay : What the weights do to some data.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from skmlp import MLPClassifier, WeightsDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> clf = MLPClassifier(25, learning_rate="cosine", random_state=0).fit(X, y)
    >>> display = WeightsDisplay.from_estimator(clf, image_shape=(8, 8))
    >>> display.image_.get_array().shape
    (44, 44)
    """

    def __init__(self, *, coefs, feature_names=None, image_shape=None):
        self.coefs = coefs
        self.feature_names = feature_names
        self.image_shape = image_shape

    @classmethod
    def from_estimator(
        cls,
        estimator,
        *,
        kind="auto",
        image_shape=None,
        feature_names=None,
        ax=None,
        **plot_params,
    ):
        """Plot weights of a fitted network.

        Parameters
        ----------
        estimator : estimator
            `MLPClassifier`, `MLPRegressor` or `MLPAutoencoder` or scikit-learn's own
            networks, a `Pipeline` that ends with one, or a fitted search for one.

        kind : {'auto', 'image', 'heatmap', 'distribution'}, default='auto'
            'image': for each unit of the first hidden layer its weights as an image.
            'heatmap': a row for each feature, a column for each unit of the first
            layer. 'distribution': the spread of the weights in each layer. 'auto' is
            'image' with `image_shape`, and where the number of features is a square
            from 64 on and they have no names; else 'heatmap'.

        image_shape : tuple of int, default=None
            Height and width of the image that a row of X is. None for a square.

        feature_names : array-like of str, default=None
            Names of the network's inputs. None for those that the estimator knows, for
            a pipeline those that its transformers give.

        ax : matplotlib axes, default=None
            Axes to plot on; None for those of a new figure.

        **plot_params : dict
            Further arguments of :meth:`plot`.

        Returns
        -------
        WeightsDisplay
            After :meth:`plot`.

        Raises
        ------
        sklearn.exceptions.NotFittedError
        TypeError
            For an estimator that is no network.
        ValueError
            For names and shapes that do not fit the network's inputs.
        """
        network, _ = fitted_network(estimator)
        check_is_fitted(network)
        if not hasattr(network, "coefs_"):
            needed = "an MLPClassifier or MLPRegressor"
            raise refusal("WeightsDisplay", needed, network)
        if feature_names is None:
            feature_names = _names_known(estimator, network)
        # Behind the features stand the inputs that an embedding adds.
        n_features = network.n_features_in_
        coefs = [np.asarray(coef) for coef in network.coefs_]
        coefs[0] = coefs[0][:n_features]
        if kind == "auto":
            side = round(n_features**0.5)
            is_square = side * side == n_features >= _MIN_PIXELS
            is_image = image_shape or (is_square and feature_names is None)
            kind = "image" if is_image else "heatmap"
        display = cls(coefs=coefs, feature_names=feature_names, image_shape=image_shape)
        return display.plot(ax=ax, kind=kind, **plot_params)

    def plot(self, ax=None, *, kind="heatmap", max_units=64, max_features=30, **kwargs):
        """Plot the weights.

        Parameters
        ----------
        ax : matplotlib axes, default=None
            Axes to plot on; None for those of a new figure.

        kind : {'image', 'heatmap', 'distribution'}, default='heatmap'
            What to plot.

        max_units : int, default=64
            Units to draw at most, those of the largest weights by their sum of squares.

        max_features : int, default=30
            Features to draw at most in the heatmap, those of the largest weights.

        **kwargs : dict
            Arguments of matplotlib's `imshow`, or of its `bxp` for 'distribution'.

        Returns
        -------
        WeightsDisplay
            This object, with the artists of this picture.

        Raises
        ------
        ImportError
            Without matplotlib.
        ValueError
            For another `kind`, and for names and shapes that do not fit the inputs.
        """
        if kind not in KINDS:
            names = ", ".join(map(repr, KINDS))
            raise ValueError(f"kind must be one of {names}, got {kind!r}.")
        for name, value in (("max_units", max_units), ("max_features", max_features)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}.")
        self.image_: Any = None
        self.units_: Any = None
        self.features_: Any = None
        self.colorbar_: Any = None
        self.boxes_: Any = None
        if kind == "distribution":
            return self._plot_distribution(ax, kwargs)
        weights = self.coefs[0]
        # The first of the layer's units where there are no more than fit.
        strength = np.sum(weights.astype(float) ** 2, axis=0)
        self.units_ = np.sort(np.argsort(-strength, kind="stable")[:max_units])
        if kind == "image":
            return self._plot_images(ax, kwargs)
        return self._plot_heatmap(ax, max_features, kwargs)

    def _plot_images(self, ax, kwargs):
        height, width = _checked_shape(self.image_shape, len(self.coefs[0]))
        tiles = self.coefs[0][:, self.units_].T.reshape(-1, height, width)
        # About as wide as high.
        n_columns = int(np.ceil(np.sqrt(len(tiles) * height / width)))
        n_columns = min(max(1, n_columns), len(tiles))
        mosaic = _mosaic(tiles, n_columns)
        rows, columns = mosaic.shape
        figsize = (5.6 * min(1.4, max(0.6, columns / rows)), 4.8)
        self._show(ax, mosaic, figsize, {"aspect": "equal", **kwargs})
        self.ax_.set(xticks=[], yticks=[])
        for spine in self.ax_.spines.values():
            spine.set_visible(False)
        n_units = self.coefs[0].shape[1]
        shown = f"{len(tiles)} of {n_units}" if len(tiles) < n_units else f"{n_units}"
        self.ax_.set_title(f"Weights of {shown} units of the first layer")
        return self

    def _plot_heatmap(self, ax, max_features, kwargs):
        weights = self.coefs[0]
        names = _checked_names(self.feature_names, len(weights))
        strength = np.sum(weights.astype(float) ** 2, axis=1)
        chosen = np.argsort(-strength, kind="stable")[:max_features]
        features, units = np.sort(chosen), self.units_
        self.features_ = features
        values = weights[np.ix_(features, units)]
        height = min(9.0, max(3.0, 1.2 + 0.24 * len(values)))
        self._show(ax, values, (6.4, height), {"aspect": "auto", **kwargs})
        if len(values) <= _MAX_NAMES:
            ticks = [names[feature] for feature in features]
            self.ax_.set_yticks(np.arange(len(values)), ticks)
        axis = self.ax_.xaxis
        whole_numbers(axis)
        # Places are not units where the weakest are left out.
        axis.set_major_formatter(
            lambda at, _: str(units[int(at)]) if 0 <= at < len(units) else ""
        )
        self.ax_.set_xlabel("Unit of the first layer")
        if len(values) < len(weights):
            title = f"The {len(values)} of {len(weights)} features of largest weights"
            self.ax_.set_title(title)
        return self

    def _show(self, ax, values, figsize, kwargs):
        """An image whose white is zero."""
        self.ax_ = new_axes(self, ax, figsize=figsize)
        self.figure_ = self.ax_.figure
        absolute = np.abs(values[np.isfinite(values)])
        limit = float(np.quantile(absolute, _QUANTILE)) or 1.0
        self.image_ = self.ax_.imshow(
            values,
            **{
                "cmap": DIVERGING,
                "vmin": -limit,
                "vmax": limit,
                "interpolation": "nearest",
                **kwargs,
            },
        )
        extend = "both" if absolute.max() > limit else "neither"
        self.colorbar_ = self.figure_.colorbar(
            self.image_, ax=self.ax_, label="Weight", extend=extend
        )

    def _plot_distribution(self, ax, kwargs):
        figsize = (max(6.4, 0.9 * len(self.coefs)), 4.8)
        self.ax_ = new_axes(self, ax, figsize=figsize)
        self.figure_ = self.ax_.figure
        stats = []
        for layer, coef in enumerate(self.coefs):
            low, first, median, third, high = np.quantile(
                coef, (0.01, 0.25, 0.5, 0.75, 0.99)
            )
            shape = f"{coef.shape[0]} to {coef.shape[1]}"
            stats.append(
                {
                    "label": f"{layer}\n{shape}",
                    "whislo": low,
                    "q1": first,
                    "med": median,
                    "q3": third,
                    "whishi": high,
                }
            )
        self.boxes_ = self.ax_.bxp(
            stats,
            **{
                "showfliers": False,
                "patch_artist": True,
                "widths": 0.5,
                "boxprops": {"facecolor": COLORS[5]},
                "medianprops": {"color": COLORS[-1]},
                **kwargs,
            },
        )
        self.ax_.axhline(0.0, color=COLORS[-1], linewidth=0.6, zorder=0)
        self.ax_.set_xlabel("Layer")
        self.ax_.set_ylabel("Weight: quartiles, whiskers at 1 and 99 %")
        return self


def _names_known(estimator, network):
    """Names of the network's inputs, if anything in the estimator knows them."""
    if hasattr(network, "feature_names_in_"):
        return list(network.feature_names_in_)
    estimator = getattr(estimator, "best_estimator_", estimator)
    if not isinstance(estimator, Pipeline) or len(estimator.steps) == 1:
        return None
    transformers = estimator[:-1]
    gives_names = all(
        isinstance(step, str) or hasattr(step, "get_feature_names_out")
        for _, step in transformers.steps
    )
    # Where X had no names, those of the transformers are made up.
    if not (gives_names and hasattr(transformers, "feature_names_in_")):
        return None
    return list(transformers.get_feature_names_out())


def _checked_names(names, n_features):
    if names is None:
        return [f"x{i}" for i in range(n_features)]
    if len(names) != n_features:
        raise ValueError(
            f"feature_names has {len(names)} names, but the network has {n_features} "
            "inputs."
        )
    return list(names)


def _checked_shape(shape, n_features):
    """Height and width, a square's if None is given."""
    if shape is None:
        side = round(n_features**0.5)
        shape = (side, side)
        if side * side != n_features:
            raise ValueError(
                f"kind='image' needs image_shape, for {n_features} features are no "
                "square."
            )
    if len(shape) != 2 or shape[0] * shape[1] != n_features:
        raise ValueError(
            f"image_shape={shape!r} must be a height and a width whose product is the "
            f"number of features, {n_features}."
        )
    return tuple(shape)


def _mosaic(tiles, n_columns):
    """Images side by side with gaps of nan between them."""
    n_tiles, height, width = tiles.shape
    n_rows = -(-n_tiles // n_columns)
    gap = max(1, round(0.04 * max(height, width)))
    mosaic = np.full(
        (n_rows * (height + gap) - gap, n_columns * (width + gap) - gap), np.nan
    )
    for i, tile in enumerate(tiles):
        top, left = i // n_columns * (height + gap), i % n_columns * (width + gap)
        mosaic[top : top + height, left : left + width] = tile
    return mosaic
