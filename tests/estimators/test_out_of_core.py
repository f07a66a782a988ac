"""Data of twice the memory limit train by `fit_batches`, and do not fit into it."""

import sys

import pytest
from subprocesses import run_apart

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_DATA of Linux"),
]


def data_bytes():
    """Private writable memory of this process, which RLIMIT_DATA limits."""
    from pathlib import Path

    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmData"):
            return int(line.split()[1]) << 10
    raise AssertionError("no VmData")


def write_rows(folder, kind, n_rows):
    """Write rows chunk by chunk, those of each chunk by its own seed."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    def chunk(start):
        rng = np.random.default_rng(start)
        return rng.standard_normal((min(20_000, n_rows - start), 50), np.float32)

    def table(x):
        columns = {f"f{c}": x[:, c] for c in range(50)}
        return pa.table(columns | {"y": (x[:, 0] > 0).astype(np.int8)})

    path = f"{folder}/{n_rows}.{kind}"
    starts = range(0, n_rows, 20_000)
    if kind == "memmap":
        with open(path, "wb") as file:
            for start in starts:
                chunk(start).tofile(file)
        return path
    schema = table(chunk(0)[:1]).schema
    writer = pa.ipc.new_file(path, schema)
    if kind == "parquet":
        writer = parquet.ParquetWriter(path, schema)
    with writer:
        for start in starts:
            writer.write_table(table(chunk(start)))
    return path


def chunks_of(path, kind, n_rows):
    """A function that reads a file chunk by chunk."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import parquet

    names = [f"f{c}" for c in range(50)]

    def of_memmap():
        x = np.memmap(path, np.float32, "r", shape=(n_rows, 50))
        for start in range(0, n_rows, 20_000):
            part = x[start : start + 20_000]
            yield part, (part[:, 0] > 0).astype(np.int8)

    def of_batches():
        with pa.memory_map(path) as source:
            if kind == "parquet":
                batches = parquet.ParquetFile(source).iter_batches(20_000)
            else:
                reader = pa.ipc.open_file(source)
                batches = map(reader.get_batch, range(reader.num_record_batches))
            for batch in batches:
                yield batch.select(names), batch["y"]

    return of_memmap if kind == "memmap" else of_batches


def train_under_limit(kind, folder, limit):
    import resource

    import numpy as np
    import pyarrow as pa

    from skmlp import MLPClassifier

    pa.set_memory_pool(pa.system_memory_pool())
    model = MLPClassifier(
        (8,), batch_size=500, max_iter=2, dtype="float32", random_state=0, n_jobs=1
    )
    # Compiles, and starts all threads, before memory is counted.
    small = write_rows(folder, kind, 60_000)
    model.fit_batches(chunks_of(small, kind, 60_000), buffer_rows=20_000)
    n_rows = 2 * limit // 200
    path = write_rows(folder, kind, n_rows)
    bound = data_bytes() + limit
    resource.setrlimit(resource.RLIMIT_DATA, (bound, bound))
    try:
        np.ones((n_rows, 50), np.float32)
    except MemoryError:
        fits = False
    else:
        fits = True
    model.fit_batches(chunks_of(path, kind, n_rows), buffer_rows=20_000)
    return [fits, model.t_, n_rows, model.loss_curve_[-1]]


@pytest.mark.parametrize("kind", ["memmap", "arrow", "parquet"])
def test_rows_of_twice_the_memory_limit_are_trained_on(kind, tmp_path):
    pytest.importorskip("pyarrow")
    fits, n_seen, n_rows, loss = run_apart(
        train_under_limit,
        kind,
        str(tmp_path),
        64 << 20,
        helpers=(data_bytes, write_rows, chunks_of),
    )
    assert not fits
    assert n_seen == 2 * n_rows
    assert loss < 0.1
