"""Fits on Dask workers beside local ones: steps, messages, epochs, memory.

``python benchmarks/distributed.py`` runs this: processes of one machine with one thread
each, started by Dask's `LocalCluster`. Four things are measured, the first two by
`step_costs.py`:

- `step`: the gradient of a minibatch and its application, in this process with one
  thread, for the networks of `step_model.py`, with squared error;
- `sum`: an all-reduce between workers, from 10 kB on;
- `epoch`: 2,000,000 x 50 -> 256 units, batches of 8,192, float32, by workers that add
  their gradients at every step or their parameters after every epoch, beside the local
  fit with as many threads as the machine has cores, and beside dask-ml's `Incremental`
  around the same estimator. All take turns. Beside the figure stands what the model of
  `step_model.py` predicts from the two parts above;
- `memory`: resident memory of the process that client and scheduler share, before, at
  most and after: a fit gathers no rows there.

`cluster_plot.py` draws a picture from the file of figures.
"""

import contextlib
import logging
import math
import os
import threading
import warnings

import dask.array as da
import joblib
import numpy as np
import psutil
import scenario
import step_costs
import step_model
import timing
from distributed import Client, LocalCluster
from sklearn.exceptions import ConvergenceWarning

import skmlp
from skmlp.dask import DaskMLPClassifier

# Time of two workers over that of the local fit.
_GOAL = 1.3
_GOAL_WORKERS = 2
_NETWORK = step_model.NETWORKS[0]
_CHUNKS = 8
_SAMPLE_SECONDS = 0.02
_MIB = 1 << 20
_EVERY = {"every step": 1, "every epoch": "epoch"}


@contextlib.contextmanager
def cluster(n_workers):
    """Context with a client of a `LocalCluster`, one thread a process.

    `LocalCluster` sets OMP_NUM_THREADS=1 in this process too, which would limit the
    local fits: the variables are put back as soon as the workers have started.
    """
    before = dict(os.environ)
    with (
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as workers,
        Client(workers) as client,
    ):
        os.environ.clear()
        os.environ.update(before)
        yield client


def parameters(epochs):
    """What all estimators are given: a fit ends by `max_iter` alone."""
    return {
        "hidden_layer_sizes": _NETWORK.units[1:-1],
        "batch_size": _NETWORK.batch_size,
        "max_iter": epochs,
        "tol": 0.0,
        "n_iter_no_change": np.inf,
        "random_state": 0,
    }


@contextlib.contextmanager
def quietly():
    """Context without the warning that a fit has ended by `max_iter`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


class Local:
    """The local estimator with all cores."""

    def __init__(self, X, y, threads):
        self._data, self._threads = (X, y), threads

    def fit(self, epochs):
        """Train; the last loss."""
        model = skmlp.MLPClassifier(**parameters(epochs), n_jobs=self._threads)
        with quietly():
            return model.fit(*self._data).loss_


class OnWorkers:
    """The estimator on Dask collections."""

    def __init__(self, client, X, y, sync_every):
        self._data = X, y
        self._more = {"client": client, "sync_every": sync_every}

    def fit(self, epochs):
        """Train; the last loss."""
        with quietly():
            model = DaskMLPClassifier(**parameters(epochs), **self._more)
            return model.fit(*self._data).loss_


class Incremental:
    """dask-ml's `Incremental`: one block after the other, wherever it is."""

    def __init__(self, client, X, y):
        self._client, self._data = client, (X, y)

    def fit(self, epochs):
        """Train; the last loss."""
        from dask_ml.wrappers import Incremental as Wrapper

        model = Wrapper(skmlp.MLPClassifier(**parameters(1)), shuffle_blocks=False)
        with self._client.as_current(), quietly():
            for _ in range(epochs):
                model.partial_fit(*self._data, classes=[0, 1])
        return model.estimator_.loss_


def local_data(rows):
    """X in float32 and two classes."""
    generator = np.random.default_rng(0)
    X = generator.standard_normal((rows, _NETWORK.units[0]), dtype=np.float32)
    return X, (X[:, 0] > X[:, 1]).astype(np.int64)


def data_on(client, rows):
    """The same kind of data, made and kept by the workers."""
    generator = da.random.default_rng(0)
    shape, chunks = (rows, _NETWORK.units[0]), (math.ceil(rows / _CHUNKS), -1)
    X = generator.standard_normal(shape, chunks=chunks).astype(np.float32)
    y = (X[:, 0] > X[:, 1]).astype(np.int64)
    X, y = client.persist([X, y])
    client.gather(client.compute([X.sum(), y.sum()]))
    return X, y


@contextlib.contextmanager
def resident_memory():
    """Context with a list of this process's resident bytes, read all the time."""
    process, done = psutil.Process(), threading.Event()
    samples = [process.memory_info().rss]

    def sample():
        while not done.wait(_SAMPLE_SECONDS):
            samples.append(process.memory_info().rss)

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        done.set()
        thread.join()
        samples.append(process.memory_info().rss)


def measure_memory(client, data, options):
    """Resident memory around a fit by the workers."""
    peer = OnWorkers(client, *data, 1)
    peer.fit(1)
    with resident_memory() as samples:
        peer.fit(options.epochs)
    return {
        "part": "memory",
        "workers": len(client.scheduler_info()["workers"]),
        **{"before": samples[0], "peak": max(samples), "after": samples[-1]},
    }


class Prediction:
    """What the model says of an epoch, from the figures measured so far.

    Parameters
    ----------
    steps, sums : list of dict
        Entries of these parts.
    rows : int
    """

    def __init__(self, steps, sums, rows):
        results = [*steps, *sums]
        machine = {"cores": joblib.cpu_count()}
        self._costs, found = step_model.of_report(
            {"results": results, "machine": machine}
        )
        self._step = found[_NETWORK]
        self._n_steps = math.ceil(rows / _NETWORK.batch_size)

    def seconds(self, n_workers, sync_every):
        """Seconds of an epoch by some workers on this machine."""
        between = self._n_steps if sync_every == "epoch" else sync_every
        return self._n_steps * self._step.seconds(
            n_workers, self._costs, steps_between=between, cores=joblib.cpu_count()
        )


def measure_epochs(client, local, prediction, options):
    """Yield the times of all peers beside those of a number of workers, and memory."""
    n_workers = len(client.scheduler_info()["workers"])
    data = data_on(client, options.rows)
    peers = {"local": Local(*local, options.threads)}
    for name, sync_every in _EVERY.items():
        peers[name] = OnWorkers(client, *data, sync_every)
    if n_workers == _GOAL_WORKERS:
        peers["Incremental"] = Incremental(client, *data)
    times = timing.results_in_turns(peers, options.epochs, options.rounds)
    for name, found in times.items():
        entry = {"part": "epoch", "workers": n_workers, "name": name, **found}
        if name in _EVERY:
            entry["predicted"] = prediction.seconds(n_workers, _EVERY[name])
        if name != "local":
            entry["ratio"] = found["epoch"] / times["local"]["epoch"]
        yield entry
    yield measure_memory(client, data, options)


def line(entry):
    """One line of the table of a part."""
    return _LINES[entry["part"]](entry)


def _line_of_step(entry):
    network = step_model.Network(tuple(entry["units"]), entry["batch_size"])
    gradient, apply = (1e3 * entry[part] for part in ("gradient", "apply"))
    return f"{network!s:<48}{gradient:>12.2f}{apply:>12.2f}"


def _line_of_sum(entry):
    return f"{entry['workers']:<8}{entry['bytes']:>12,}{1e3 * entry['seconds']:>12.2f}"


def _line_of_epoch(entry):
    text = f"{entry['workers']:<8}{entry['name']:<14}{entry['epoch']:>9.3f}"
    if "ratio" in entry:
        text += f"{entry['ratio']:>8.2f}"
    if "predicted" in entry:
        text += f"{entry['predicted']:>11.3f}"
    if (entry["workers"], entry["name"]) == (_GOAL_WORKERS, "every step"):
        text += f"  goal {_GOAL}: {'met' if entry['ratio'] <= _GOAL else 'MISSED'}"
    return text


def _line_of_memory(entry):
    before, peak, after = (entry[key] / _MIB for key in ("before", "peak", "after"))
    return (
        f"{entry['workers']:<8}client and scheduler: {before:.0f} MiB before a fit, "
        f"{peak:.0f} at most, {after:.0f} after"
    )


_LINES = {
    "step": _line_of_step,
    "sum": _line_of_sum,
    "epoch": _line_of_epoch,
    "memory": _line_of_memory,
}


def setup(options):
    """Print what is trained."""
    print(
        f"{options.rows:,} rows, {_NETWORK}, float32; workers of one thread, the local "
        f"fit with {options.threads}; medians of {options.rounds} rounds"
    )


def measure(_, options):
    """Yield the figures of all parts."""
    steps, sums = [], []
    yield f"\n{'milliseconds of one thread':<48}{'gradient':>12}{'apply':>12}"
    for network in step_model.NETWORKS[: 1 if options.quick else None]:
        steps.append(step_costs.measure_step(network, options.steps))
        yield steps[-1]
    yield f"\n{'workers':<8}{'bytes':>12}{'ms a sum':>12}"
    for n_workers in options.workers:
        if n_workers > 1:
            with cluster(n_workers) as client:
                for entry in step_costs.measure_sums(client, options.sums):
                    sums.append(entry)
                    yield entry
    prediction = Prediction(steps, sums, options.rows)
    local = local_data(options.rows)
    yield f"\n{'workers':<8}{'sums':<14}{'s/epoch':>9}{'/ local':>8}{'predicted':>11}"
    for n_workers in options.workers:
        with cluster(n_workers) as client:
            yield from measure_epochs(client, local, prediction, options)


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="200,000 rows, 1 and 2 workers, one round, one network",
    setup=setup,
    measure=measure,
    line=line,
    options={
        "rows": {"type": int, "full": 2_000_000, "brief": 200_000},
        "workers": {"type": int, "nargs": "+", "full": (1, 2, 4), "brief": (1, 2)},
        "threads": scenario.threads(),
        "epochs": {"type": int, "full": 3, "brief": 3, "help": "of the long fit"},
        "rounds": scenario.rounds(3, 1),
        "steps": {"type": int, "full": 10, "brief": 3, "help": "timed steps"},
        "sums": {"type": int, "full": 200, "brief": 50, "help": "timed sums"},
    },
    goal=_GOAL,
)
