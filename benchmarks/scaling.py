"""How the cost of an epoch grows with rows, features, units and threads: a plot.

One network in the middle (10,000 rows of 50 features, 100 units, 10 classes, batches of
200), of which one number changes at a time. On logarithmic axes a cost in proportion
to the work is a line of slope 1, and the distance of two lines is their ratio. A line
that starts flat shows what a step costs apart from arithmetic.
"""

from pathlib import Path

import joblib
import peers
import reporting
import timing
import workloads

_IMAGE = Path(__file__).parents[1] / "docs" / "images" / "scaling.png"
_MIDDLE = workloads.Workload("multiclass", 50, (100,), 10, "relu", 200, 10_000, 0)
_ROWS = (1_000, 3_000, 10_000, 30_000, 100_000)
_FEATURES = (8, 25, 80, 250, 800)
_UNITS = (8, 25, 80, 250, 800)
# The long fit sees about so many rows, so that it is long enough to be timed.
_ROWS_SEEN = 60_000
_COLOURS = {"skmlp": "tab:blue", "sklearn": "tab:orange"}


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


def measure(workload, threads, wanted):
    """Seconds an epoch of both libraries.

    Returns
    -------
    dict
    """
    data = workloads.data(workload, wanted.dtype)
    both = {
        peer.name: peer(workload, *data, threads)
        for peer in (peers.Skmlp, peers.ScikitLearn)
    }
    epochs = min(30, max(3, _ROWS_SEEN // workload.rows))
    times = timing.results_in_turns(both, epochs, wanted.rounds)
    return {name: found["epoch"] for name, found in times.items()}


def line(what, number, seconds):
    """One line of the table; times in milliseconds an epoch."""
    ours, theirs = (1e3 * seconds[name] for name in ("skmlp", "sklearn"))
    return f"{what:<10}{number:>9,}{ours:>10.2f}{theirs:>10.2f}{theirs / ours:>7.1f}x"


def plot(found, wanted, file):
    """Draw all panels into a PNG file.

    Parameters
    ----------
    found : dict of list
        By panel, the points with the number and the seconds of each library.
    wanted : argparse.Namespace
    file : Path
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot, ticker

    figure, axes = pyplot.subplots(2, 2, figsize=(10, 8), layout="constrained")
    for panel, (what, points) in zip(axes.flat, found.items(), strict=True):
        numbers = [point["number"] for point in points]
        for name, color in _COLOURS.items():
            times = [1e3 * point["seconds"][name] for point in points]
            panel.loglog(numbers, times, "o-", color=color, label=name)
        panel.set_xticks(numbers, [f"{number:,}" for number in numbers])
        panel.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
        panel.yaxis.set_major_formatter(ticker.FuncFormatter(lambda t, _: f"{t:g}"))
        panel.minorticks_off()
        panel.set_xlabel(what)
        panel.set_ylabel("milliseconds an epoch")
        panel.grid(alpha=0.3)
    axes[0, 0].legend()
    figure.suptitle(
        f"An epoch of {_MIDDLE.rows:,} x {_MIDDLE.features} through "
        f"{_MIDDLE.hidden[0]} units, {wanted.dtype}, one number changed at a time"
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    print(f"\nplot: {file}")


def run(wanted):
    """Measure all points, printing as they go.

    Returns
    -------
    dict
        All that was found, fit for JSON.
    """
    report = reporting.start() | {"options": {**vars(wanted), "image": None}}
    print(f"{wanted.dtype}, milliseconds an epoch, median of {wanted.rounds}\n")
    print(f"{'':<19}{'skmlp':>10}{'sklearn':>10}{'ratio':>8}")
    report["results"] = {}
    for what, points in panels(wanted.quick).items():
        found = report["results"][what] = []
        for number, workload, threads in points:
            seconds = measure(workload, threads, wanted)
            found.append({"number": number, "seconds": seconds})
            print(line(what, number, seconds), flush=True)
    return report


def run_and_plot(wanted):
    """As `run`, with the curves drawn into the file that was asked for."""
    report = run(wanted)
    plot(report["results"], wanted, wanted.image)
    return report


def main():
    reporting.main(
        __doc__,
        run_and_plot,
        quick="every other point, one round",
        dtype={"choices": ("float32", "float64"), "default": "float32"},
        rounds={"type": int, "help": "default 5", "full": 5, "brief": 1},
        image={"type": Path, "default": _IMAGE, "help": "PNG file"},
    )


if __name__ == "__main__":
    main()
