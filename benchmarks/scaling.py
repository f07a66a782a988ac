"""How the cost of an epoch grows with rows, features, units and threads: a plot.

One network in the middle (10,000 rows of 50 features, 100 units, 10 classes, batches of
200), of which one number changes at a time. On logarithmic axes a cost proportional to
the work is a line of slope 1, and the distance of two lines is their ratio. A line that
starts flat shows what a step costs apart from arithmetic.
"""

from pathlib import Path

import joblib
import peers
import scenario
import timing
import workloads

_IMAGE = Path(__file__).parents[1] / "docs" / "images" / "scaling.png"
_MIDDLE = workloads.Workload("multiclass", 50, (100,), 10, "relu", 200, 10_000, 0)
_ROWS = (1_000, 3_000, 10_000, 30_000, 100_000)
_FEATURES = (8, 25, 80, 250, 800)
_UNITS = (8, 25, 80, 250, 800)
# The long fit sees about so many rows, so that it is long enough to be timed.
_ROWS_SEEN = 60_000
_COLORS = {"skmlp": "tab:blue", "sklearn": "tab:orange"}


def powers_of_two(largest):
    """1, 2, 4 and so on, and the largest number itself."""
    numbers = [1 << i for i in range(largest.bit_length()) if 1 << i < largest]
    return (*numbers, largest)


def panels(quick):
    """Lists of points: the number that changes, the workload, the threads.

    Parameters
    ----------
    quick : bool
        Leave every other point out, but of the threads.

    Returns
    -------
    dict of list
    """
    every = joblib.cpu_count()
    step = 2 if quick else 1
    return {
        "rows": [(n, _MIDDLE._replace(rows=n), every) for n in _ROWS[::step]],
        "features": [
            (n, _MIDDLE._replace(features=n), every) for n in _FEATURES[::step]
        ],
        "units": [(n, _MIDDLE._replace(hidden=(n,)), every) for n in _UNITS[::step]],
        "threads": [(n, _MIDDLE, n) for n in powers_of_two(every)],
    }


def seconds_of(workload, threads, options):
    """Seconds an epoch of both libraries.

    Returns
    -------
    dict
    """
    data = workloads.data(workload, options.dtype)
    both = peers.with_sklearn(workload, data, threads)
    epochs = min(30, max(3, _ROWS_SEEN // workload.rows))
    times = timing.results_in_turns(both, epochs, options.rounds)
    return {name: result["epoch"] for name, result in times.items()}


def line(entry):
    """One line of the table; times in milliseconds an epoch."""
    ours, theirs = (1e3 * entry["seconds"][name] for name in ("skmlp", "sklearn"))
    return (
        f"{entry['panel']:<10}{entry['value']:>9,}{ours:>10.2f}{theirs:>10.2f}"
        f"{theirs / ours:>7.1f}x"
    )


def plot(points_by_panel, options):
    """Draw all panels into a PNG file.

    Parameters
    ----------
    points_by_panel : dict of list
        Entries as `measure` yields them.
    options : argparse.Namespace
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    figure, axes = pyplot.subplots(2, 2, figsize=(10, 8), layout="constrained")
    for panel, (what, points) in zip(axes.flat, points_by_panel.items(), strict=True):
        values = [point["value"] for point in points]
        for name, color in _COLORS.items():
            times = [1e3 * point["seconds"][name] for point in points]
            panel.loglog(values, times, "o-", color=color, label=name)
        panel.set_xticks(values, [f"{value:,}" for value in values])
        panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(ticker.FuncFormatter(lambda t, _: f"{t:g}"))
        panel.minorticks_off()
        panel.set_xlabel(what)
        panel.set_ylabel("milliseconds an epoch")
        panel.grid(alpha=0.3)
    axes[0, 0].legend()
    figure.suptitle(
        f"An epoch of {_MIDDLE.rows:,} x {_MIDDLE.features} through "
        f"{_MIDDLE.hidden[0]} units, {options.dtype}, one number changed at a time"
    )
    options.image.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.image, dpi=120)


def setup(options):
    """Print the heading; the panels."""
    print(f"{options.dtype}, milliseconds an epoch, median of {options.rounds}\n")
    print(f"{'':<19}{'skmlp':>10}{'sklearn':>10}{'ratio':>8}")
    return panels(options.quick)


def measure(points_by_panel, options):
    """Yield every point of every panel, and draw them at the end."""
    entries = {panel: [] for panel in points_by_panel}
    for panel, points in points_by_panel.items():
        for value, workload, threads in points:
            seconds = seconds_of(workload, threads, options)
            entries[panel].append({"panel": panel, "value": value, "seconds": seconds})
            yield entries[panel][-1]
    plot(entries, options)
    yield f"\nplot: {options.image}"


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="every other point, one round",
    setup=setup,
    measure=measure,
    line=line,
    options={
        "dtype": {"choices": scenario.BOTH_DTYPES, "default": "float32"},
        "rounds": scenario.rounds(5, 1),
        "image": {"type": Path, "default": _IMAGE, "help": "PNG file"},
    },
)


if __name__ == "__main__":
    SCENARIO.main()
