"""Seconds of a data-parallel step: a model of them, and the picture that it gives.

``python benchmarks/step_model.py found.json`` takes what `distributed.py --json` has
measured, and draws how many times as fast as one worker up to 64 are, on links of three
rates. With n workers a step takes

    gradient / n + apply + sum(n, bytes)

seconds: each computes the gradient of its share of a minibatch, all are summed, and
each applies the sum to its own copy of the parameters. There are two ways to sum:

    exchange    latency + (n - 1) (message + bytes byte)
    slices      2 (latency + (n - 1) (message + bytes / n byte))

In the first everyone sends its vector to everyone else. In the second each worker sums
one slice of all vectors and sends it to everyone else (reduce-scatter, all-gather). A
message costs what Dask takes to send one and to receive one, a byte what Dask and the
link take. Long vectors are summed by slices. With ``sync_every='epoch'`` the parameters
and Adam's two moments are summed once an epoch, instead of a gradient at each step.
"""

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

_IMAGE = Path(__file__).parents[1] / "docs" / "images" / "cluster.png"
_WORKERS = (1, 2, 4, 8, 16, 32, 64)
# Rows of the table of which an epoch is made.
_ROWS = 10_000_000
# Parameters, first and second moments.
_STATE = 3
# Bytes that a worker may send for a sum before it is made by slices.
_LARGE = 1_000_000
_TICKS = (0.02, 0.1, 0.5, 1, 2, 4, 8, 16, 32, 64)
# Distinct to the color-blind, and from each other in gray (Okabe and Ito, 2008).
_COLORS = ("#E69F00", "#009E73", "#0072B2")


class Network(NamedTuple):
    """Units of the layers from the input to the output, and rows of a minibatch."""

    units: tuple
    batch_size: int

    @property
    def n_parameters(self):
        """Weights and intercepts."""
        return sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(self.units))

    def __str__(self):
        units = " \N{RIGHTWARDS ARROW} ".join(map(str, self.units))
        return f"{units}, batches of {self.batch_size:,}"


NETWORKS = (
    Network((50, 256, 1), 8_192),
    Network((784, 512, 512, 10), 1_024),
    Network((300, 2_048, 2_048, 1_000), 4_096),
)


class Link(NamedTuple):
    """Seconds before the first byte arrives, and bytes a second."""

    name: str
    latency: float
    rate: float


LINKS = (
    Link("1 Gb/s, 200 µs", 200e-6, 1e9 / 8),
    Link("10 Gb/s, 100 µs", 100e-6, 10e9 / 8),
    Link("100 Gb/s, 50 µs", 50e-6, 100e9 / 8),
)
# Processes of one machine: what there is of it, Dask's costs contain.
LOCAL = Link("one machine", 0.0, float("inf"))


class MessageCosts(NamedTuple):
    """Seconds that Dask takes for a message, sent and received, and for its bytes."""

    message: float
    byte: float


def is_sliced(n_workers, n_bytes):
    """Whether a vector is summed by slices, the rule of `skmlp.dask.collective`."""
    return n_workers > 2 and (n_workers - 1) * n_bytes > _LARGE


def _traffic(n_workers, n_bytes):
    """Phases, messages and bytes of a worker in one sum."""
    others = n_workers - 1
    if is_sliced(n_workers, n_bytes):
        return 2, 2 * others, 2 * others * n_bytes / n_workers
    return min(1, others), others, others * n_bytes


def all_reduce_seconds(n_workers, n_bytes, costs, link=LOCAL):
    """Seconds of a sum over the workers.

    Parameters
    ----------
    n_workers : int
    n_bytes : int
        Of the vector.
    costs : MessageCosts
    link : Link

    Returns
    -------
    float
    """
    phases, messages, sent = _traffic(n_workers, n_bytes)
    byte = costs.byte + 1 / link.rate
    return phases * link.latency + messages * costs.message + sent * byte


def crowding(n_workers, cores):
    """How many times as long anything takes where processes share too few cores."""
    return 1.0 if cores is None else max(1.0, n_workers / cores)


def fitted_costs(measured, cores=None):
    """Costs of a message and of a byte that explain the times of some sums best.

    Squares of relative errors are summed, so that the short times count, too.

    Parameters
    ----------
    measured : list of (int, int, float)
        Workers, bytes of the vector, seconds; on one machine.
    cores : int or None
        Cores of the machine; None stands for one a worker, at least.

    Returns
    -------
    MessageCosts
    """
    sums = np.array(
        [
            np.multiply(_traffic(n, n_bytes)[1:], crowding(n, cores))
            for n, n_bytes, _ in measured
        ]
    )
    seconds = np.array([each[2] for each in measured])
    relative = sums / seconds[:, np.newaxis]
    found, *_ = np.linalg.lstsq(relative, np.ones(len(seconds)), rcond=None)
    return MessageCosts(*np.maximum(found, 0.0).tolist())


class Step(NamedTuple):
    """Seconds of one worker for the gradient of a minibatch and for applying it."""

    gradient: float
    apply: float
    n_parameters: int
    itemsize: int = 4

    def seconds(self, n_workers, costs, link=LOCAL, steps_between=1, cores=None):
        """Seconds of a step of some workers.

        Parameters
        ----------
        n_workers : int
        costs : MessageCosts
        link : Link
        steps_between : int
            Steps between two sums. From 2 on parameters and moments are summed, else
            the gradient.
        cores : int or None
            Cores that the workers share; None stands for one each, at least.

        Returns
        -------
        float
        """
        n_bytes = self.n_parameters * self.itemsize
        if steps_between > 1:
            n_bytes *= _STATE
        sums = all_reduce_seconds(n_workers, n_bytes, costs, link)
        own = self.gradient / n_workers + self.apply
        return crowding(n_workers, cores) * (own + sums / steps_between)


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
        Of one worker.
    costs : MessageCosts

    Returns
    -------
    dict of list
    """
    every = {"every step": 1, "every epoch": max(2, _ROWS // network.batch_size)}
    return {
        (link.name, name): speedups(step, costs, link, between)
        for link in LINKS
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
    return lines[1:]


def of_report(report, cores):
    """Costs of messages, and the step of each network, from the figures of a run.

    Parameters
    ----------
    report : dict
        What `distributed.py --json` has written.
    cores : int
        Of a worker; its step takes so many times less than with one thread.

    Returns
    -------
    costs : MessageCosts
    steps : dict of Step
        By network.
    """
    by_part = {}
    for entry in report["results"]:
        by_part.setdefault(entry["part"], []).append(entry)
    costs = fitted_costs(
        [(e["workers"], e["bytes"], e["seconds"]) for e in by_part["sum"]],
        report["machine"]["cores"],
    )
    steps = {}
    for entry in by_part["step"]:
        network = Network(tuple(entry["units"]), entry["batch_size"])
        own = (entry[part] / cores for part in ("gradient", "apply"))
        steps[network] = Step(*own, network.n_parameters)
    return costs, steps


def draw(costs, steps, cores, quiet, image):
    """Draw the speedups of every network into a file.

    Parameters
    ----------
    costs : MessageCosts
    steps : dict of Step
        By network.
    cores : int
        Of a worker, for the text below.
    quiet : bool or None
        Whether the machine was that measured; the picture says so if not.
    image : Path
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        1, len(steps), figsize=(8.6, 4), sharey=True, layout="constrained"
    )
    for panel, (network, step) in zip(axes, steps.items(), strict=True):
        panel.loglog(_WORKERS, _WORKERS, ":", color="black")
        for name, values in curves(network, step, costs).items():
            color = _COLORS[[link.name for link in LINKS].index(name[0])]
            style = {"every step": "o-", "every epoch": "s--"}[name[1]]
            panel.loglog(
                *(_WORKERS, values, style),
                **{"color": color, "markersize": 3, "linewidth": 1.2},
                label=", ".join(name),
            )
        panel.set_xticks(_WORKERS, _WORKERS)
        panel.set_yticks(_TICKS, _TICKS)
        panel.minorticks_off()
        panel.set_ylim(_TICKS[0], 80)
        units, _, batches = str(network).partition(", ")
        panel.set_title(f"{units}\n{batches}", fontsize=9)
        panel.set_xlabel("workers")
        panel.grid(alpha=0.3)
    axes[0].set_ylabel("times as fast as one worker")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside upper center", ncols=len(LINKS), fontsize=9
    )
    measured = "" if quiet else " beside other work"
    figure.supxlabel(
        f"a model of {_ROWS:,} rows and workers of {cores} cores; dotted: n times as "
        f"fast\ncosts of a message and of a core measured{measured}",
        fontsize=9,
    )
    image.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(image, dpi=120)


def main():
    """Draw, and print the same as a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path, help="of distributed.py --json")
    parser.add_argument("--cores", type=int, default=16, help="of a worker")
    parser.add_argument("--image", type=Path, default=_IMAGE)
    options = parser.parse_args()
    report = json.loads(options.file.read_text())
    costs, steps = of_report(report, options.cores)
    draw(costs, steps, options.cores, report["machine"]["quiet"], options.image)
    print(
        f"A message costs {1e6 * costs.message:.0f} µs, "
        f"a megabyte {1e9 * costs.byte:.2f} ms more.\n"
    )
    print("\n".join(table(costs, steps)))


if __name__ == "__main__":
    main()
