"""A model of the seconds that a data-parallel step takes.

With n workers a step takes

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

`step_costs.py` measures these costs, `dask_fits.py` holds whole epochs against the
model, and `cluster_plot.py` draws what it says of 64 workers.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

# Parameters, first and second moments.
_STATE = 3
# Bytes that a worker may send for a sum before it is made by slices.
_LARGE = 1_000_000


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

    def of_cores(self, cores):
        """The step of a worker with `cores` cores, at perfect parallel efficiency."""
        return self._replace(gradient=self.gradient / cores, apply=self.apply / cores)

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


def of_report(report):
    """Costs of messages, and the step of each network, from the figures of a run.

    Parameters
    ----------
    report : dict
        What `distributed.py --json` has written.

    Returns
    -------
    costs : MessageCosts
    steps : dict of Step
        By network; of a worker with one thread.
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
        own = entry["gradient"], entry["apply"]
        steps[network] = Step(*own, network.n_parameters)
    return costs, steps
