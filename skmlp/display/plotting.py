"""What the displays share of matplotlib: its import, axes, colors and legends."""

import importlib

# Okabe and Ito (2008): eight colors that people with any color vision can tell apart,
# but for yellow, which is hard to see on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# From blue over white to orange: negative and positive numbers.
DIVERGING = "PuOr_r"
GRAY = "#7F7F7F"
# Columns of a legend.
_MAX_COLUMNS = 4


def pyplot(caller):
    """The module `matplotlib.pyplot`.

    Parameters
    ----------
    caller : object
        The display whose `plot` needs it.

    Raises
    ------
    ImportError
        Without matplotlib, in scikit-learn's words.
    """
    try:
        return importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        raise ImportError(
            f"{type(caller).__name__}.plot requires matplotlib. You can install "
            'matplotlib with `pip install "skmlp[plot]"`'
        ) from error


def new_axes(caller, ax, figsize=None):
    """The axes to draw into, those of a new figure if None are given."""
    plt = pyplot(caller)
    if ax is None:
        # The layout makes room for legends beside the axes.
        _, ax = plt.subplots(layout="constrained", figsize=figsize)
    return ax


def axes_below(ax, share):
    """New axes below others, which give them a part of their height.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    share : float
        Height of the new axes over that of `ax` afterwards.
    """
    figure, spec = ax.figure, ax.get_subplotspec()
    ratios = {"nrows": 2, "ncols": 1, "height_ratios": [1.0, share]}
    if spec is not None:
        grid = spec.subgridspec(**ratios)
    else:
        x0, y0, x1, y1 = ax.get_position().extents
        grid = figure.add_gridspec(**ratios, left=x0, right=x1, bottom=y0, top=y1)
    ax.set_subplotspec(grid[0])
    below = figure.add_subplot(grid[1], sharex=ax)
    ax.tick_params(labelbottom=False)
    return below


def whole_numbers(axis):
    """Let an axis have ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator("auto", integer=True))


def legend_above(ax, handles):
    """A legend above the axes, where it hides no curve, and not wider than they are."""
    handles = [each for each in handles if not each.get_label().startswith("_")]
    for n_columns in range(min(_MAX_COLUMNS, len(handles)), 0, -1):
        legend = ax.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            ncols=n_columns,
            frameon=False,
            borderaxespad=0.2,
            borderpad=0.2,
            columnspacing=1.2,
            handlelength=1.8,
        )
        if legend.get_window_extent().width <= ax.get_window_extent().width:
            break
