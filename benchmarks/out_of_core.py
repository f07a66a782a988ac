"""An epoch by `fit_batches`, from memory, files and Arrow, beside `fit` in memory.

The same rows and minibatches, as an array, a memory-mapped file, an Arrow file and a
Parquet file with a column a feature. Epochs are differences of a long and a short fit,
so the first pass over the chunks cancels; it has a separate column, as what a fit of
one epoch takes longer than an epoch. Files of this size stay in the system's cache: the
figures are the price of chunks, not of a disk.
"""

import tempfile
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import scenario
import timing
from pyarrow import parquet
from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPClassifier

_FEATURES, _BATCH = 50, 1024
_CHUNK = 100_000
_GOAL = 1.2
_NAMES = [f"f{c}" for c in range(_FEATURES)]


class Peer:
    """One way to fit, for `timing.results_in_turns`."""

    def __init__(self, options, train):
        self._options = options
        self._train = train

    def fit(self, n_epochs):
        """Train some epochs; returns the loss."""
        model = MLPClassifier(
            (self._options.units,),
            batch_size=_BATCH,
            max_iter=n_epochs,
            n_iter_no_change=np.inf,
            tol=0,
            random_state=0,
            n_jobs=self._options.threads,
        )
        with warnings.catch_warnings():
            # A few epochs converge nowhere.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return self._train(model).loss_


def chunks_of(x, y):
    """A function that makes the chunks of arrays."""

    def make_chunks():
        for start in range(0, len(x), _CHUNK):
            yield x[start : start + _CHUNK], y[start : start + _CHUNK]

    return make_chunks


def write_files(folder, x, y):
    """The rows as a plain file, an Arrow file and a Parquet file."""
    paths = [folder / name for name in ("rows", "rows.arrow", "rows.parquet")]
    x.tofile(paths[0])
    columns = dict(zip(_NAMES, x.T, strict=True))
    table = pa.table(columns | {"y": y})
    with pa.ipc.new_file(paths[1], table.schema) as writer:
        writer.write_table(table, max_chunksize=_CHUNK)
    parquet.write_table(table, paths[2], row_group_size=_CHUNK)
    return paths


def arrow_chunks(path):
    """Record batches of an Arrow file, mapped into memory."""
    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        for i in range(reader.num_record_batches):
            batch = reader.get_batch(i)
            yield batch.select(_NAMES), batch["y"]


def parquet_chunks(path):
    """Record batches of a Parquet file."""
    with parquet.ParquetFile(path) as file:
        for batch in file.iter_batches(_CHUNK):
            yield batch.select(_NAMES), batch["y"]


def setup(options):
    """Print the heading."""
    print(
        f"{options.rows:,} x {_FEATURES} -> {options.units}, batches of {_BATCH:,}, "
        f"float32, {options.threads} threads, chunks of {_CHUNK:,} rows\n"
    )
    print(f"{'':<22}{'epoch':>9}{'first pass':>12}{'over fit':>10}{'goal':>7}")


def measure(_, options):
    """Yield the figures of each way to fit."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((options.rows, _FEATURES), np.float32)
    y = (x[:, 0] * x[:, 1] + x[:, 2] > 0).astype(np.int64)
    with tempfile.TemporaryDirectory() as folder:
        plain, arrow, columns = write_files(Path(folder), x, y)
        mapped = np.memmap(plain, np.float32, "r", shape=x.shape)
        peers = {
            "fit in memory": lambda model: model.fit(x, y),
            "fit on memmap": lambda model: model.fit(mapped, y),
            "chunks in memory": lambda model: model.fit_batches(chunks_of(x, y)),
            "chunks of memmap": lambda model: model.fit_batches(chunks_of(mapped, y)),
            "Arrow batches": lambda model: model.fit_batches(
                lambda: arrow_chunks(arrow)
            ),
            "Parquet batches": lambda model: model.fit_batches(
                lambda: parquet_chunks(columns)
            ),
        }
        peers = {name: Peer(options, train) for name, train in peers.items()}
        results = timing.results_in_turns(peers, options.epochs, options.rounds)
    in_memory = results["fit in memory"]["epoch"]
    for name, result in results.items():
        rest = result["fit"] - options.epochs * result["epoch"]
        yield {
            "name": name,
            **result,
            "first_pass": rest,
            "over_fit": result["epoch"] / in_memory,
        }


def line(entry):
    """One line of the table."""
    verdict = ""
    if entry["name"] != "fit in memory":
        verdict = f"{_GOAL:>7.2f}  {'met' if entry['over_fit'] <= _GOAL else 'MISSED'}"
    return (
        f"{entry['name']:<22}{entry['epoch']:>7.3f} s{entry['first_pass']:>10.3f} s"
        f"{entry['over_fit']:>9.2f}x{verdict}"
    )


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="100,000 rows",
    setup=setup,
    measure=measure,
    line=line,
    options={
        "rows": {"type": int, "full": 2_000_000, "brief": 100_000},
        "units": {"type": int, "default": 256, "help": "default 256"},
        "epochs": {"type": int, "full": 4, "brief": 3},
        "rounds": scenario.rounds(5, 1),
        "threads": scenario.threads(),
    },
    goal=_GOAL,
)


if __name__ == "__main__":
    SCENARIO.main()
