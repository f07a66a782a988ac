"""The picture of several workers, from the figures of `distributed.py --json`.

``python benchmarks/cluster_plot.py found.json`` draws how many times as fast as one
worker up to 64 are by the model of `step_model.py`, on links of three rates, for
workers of one core and of many. It prints the same as tables in Markdown. Figures of a
machine that was not quiet are drawn with a line that says so.
"""

import argparse
import json
from pathlib import Path

import step_model

_IMAGE = Path(__file__).parents[1] / "docs" / "images" / "cluster.png"
_WORKERS = (1, 2, 4, 8, 16, 32, 64)
# Rows of the table of which an epoch is made.
_ROWS = 10_000_000
_TICKS = (0.02, 0.1, 0.5, 1, 2, 4, 8, 16, 32, 64)
# Distinct to the color-blind, and from each other in gray (Okabe and Ito, 2008).
_COLORS = dict(
    zip(
        (link.name for link in step_model.LINKS),
        ("#E69F00", "#009E73", "#0072B2"),
        strict=True,
    )
)
_STYLES = {"every step": "o-", "every epoch": "s--"}


def speedups(step, costs, link, steps_between=1):
    """How many times as fast as one worker each number of workers is."""
    alone = step.seconds(1, costs, link)
    return [alone / step.seconds(n, costs, link, steps_between) for n in _WORKERS]


def curves(network, step, costs):
    """Speedups by the name of the link and the time between two sums.

    Parameters
    ----------
    network : Network
    step : Step
        Of a worker.
    costs : MessageCosts

    Returns
    -------
    dict of list
    """
    every = {"every step": 1, "every epoch": max(2, _ROWS // network.batch_size)}
    return {
        (link.name, name): speedups(step, costs, link, between)
        for link in step_model.LINKS
        for name, between in every.items()
    }


def table(costs, steps):
    """The lines of a table in Markdown: speedups of the networks."""
    lines = []
    for network, step in steps.items():
        lines += ["", f"| {network} | {' | '.join(map(str, _WORKERS))} |"]
        lines.append("| --- " * (1 + len(_WORKERS)) + "|")
        for name, values in curves(network, step, costs).items():
            cells = " | ".join(f"{value:.2g}" for value in values)
            lines.append(f"| {', '.join(name)} | {cells} |")
    return lines


def in_words(cores):
    """A number of cores."""
    return "1 core" if cores == 1 else f"{cores} cores"


def _draw_panel(panel, network, step, costs):
    panel.loglog(_WORKERS, _WORKERS, ":", color="black")
    for (link, every), values in curves(network, step, costs).items():
        panel.loglog(
            *(_WORKERS, values, _STYLES[every]),
            **{"color": _COLORS[link], "markersize": 3, "linewidth": 1.2},
            label=f"{link}, {every}",
        )
    panel.set_xticks(_WORKERS, _WORKERS)
    panel.set_yticks(_TICKS, _TICKS)
    panel.minorticks_off()
    panel.set_ylim(_TICKS[0], 80)
    panel.grid(alpha=0.3)


def draw(costs, steps, cores, quiet, image):
    """Draw the speedups of every network, a row for each number of cores.

    Parameters
    ----------
    costs : step_model.MessageCosts
    steps : dict of step_model.Step
        By network; of a worker with one thread.
    cores : list of int
        Of a worker.
    quiet : bool or None
        Whether the machine was that measured; the picture says so if not.
    image : Path
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        *(len(cores), len(steps)),
        figsize=(8.6, 1.6 + 2.4 * len(cores)),
        **{"sharex": True, "sharey": True, "squeeze": False, "layout": "constrained"},
    )
    for row, n in zip(axes, cores, strict=True):
        for panel, (network, step) in zip(row, steps.items(), strict=True):
            _draw_panel(panel, network, step.of_cores(n), costs)
        row[0].set_ylabel(f"times as fast as one\nworkers of {in_words(n)}")
    for network, top, bottom in zip(steps, axes[0], axes[-1], strict=True):
        top.set_title(str(network).replace(", ", "\n"), fontsize=9)
        bottom.set_xlabel("workers")
    handles, names = axes[0, 0].get_legend_handles_labels()
    place = {"loc": "outside upper center", "ncols": len(step_model.LINKS)}
    figure.legend(handles, names, fontsize=9, **place)
    measured = "" if quiet else " beside other work"
    figure.supxlabel(
        f"a model with {_ROWS:,} rows; dotted: n times as fast; costs of a message "
        f"and of a core measured{measured}",
        fontsize=8.5,
    )
    image.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(image, dpi=120)


def main():
    """Draw, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="of distributed.py --json")
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--image", type=Path, default=_IMAGE)
    options = parser.parse_args()
    report = json.loads(options.file.read_text())
    costs, steps = step_model.of_report(report)
    draw(costs, steps, options.cores, report["machine"]["quiet"], options.image)
    print(
        f"A message costs {1e6 * costs.message:.0f} µs, "
        f"a megabyte {1e9 * costs.byte:.2f} ms more."
    )
    for n in options.cores:
        of_cores = {network: step.of_cores(n) for network, step in steps.items()}
        print("\n".join(["", f"Workers of {in_words(n)}:", *table(costs, of_cores)]))


if __name__ == "__main__":
    main()
