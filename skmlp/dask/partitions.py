"""The user's Dask collections as blocks of rows, each on the worker that trains on it.

A block is one partition of X with the rows of y and of the weights that belong to it.
Blocks are computed on workers and stay there: the client sees their keys only.
"""

from itertools import chain
from typing import Any, NamedTuple

import dask
import numpy as np
import pandas as pd
from dask.array import Array
from dask.delayed import Delayed, delayed
from distributed import futures_of
from scipy import sparse


class Block(NamedTuple):
    """Rows of one partition, on a worker.

    Attributes
    ----------
    number : int
        Of the partition, from 0.
    X, y, sample_weight : array, sparse matrix, DataFrame or None
    """

    number: int
    X: Any
    y: Any
    sample_weight: Any


class Collections(NamedTuple):
    """Data of one kind, for training or for validation, as the user has passed them."""

    X: Any
    y: Any
    sample_weight: Any
    suffix: str = ""

    def named(self):
        """The collections that there are, by the name of the argument."""
        values = zip(("X", "y", "sample_weight"), self[:3], strict=True)
        return {f"{k}{self.suffix}": v for k, v in values if v is not None}


def is_collection(data):
    """Whether data are a Dask collection, or a list of delayed chunks."""
    if isinstance(data, list | tuple):
        return bool(data) and all(isinstance(each, Delayed) for each in data)
    return dask.is_dask_collection(data)


def aligned(data):
    """The delayed partitions of some `Collections`, row by row.

    Parameters
    ----------
    data : Collections

    Returns
    -------
    list of tuple of Delayed
        A tuple a partition: X, y and sample_weight, which may be None.

    Raises
    ------
    TypeError
        For what is no Dask collection.
    ValueError
        For collections whose partitions do not belong together, and for empty ones.
    """
    named = {name: _rows_in_chunks(name, value) for name, value in data.named().items()}
    chunked = [name for name, value in named.items() if _has_known_rows(value)]
    for name in chunked[1:]:
        _check_equal_rows(named, chunked[0], name)
    first = next(iter(named))
    for name in chunked:
        if name != first and first in chunked:
            named[name] = named[name].rechunk({0: named[first].chunks[0]})
    parts = {name: partitions(value) for name, value in named.items()}
    n_blocks = len(parts[first])
    if n_blocks == 0 or (first in chunked and named[first].shape[0] == 0):
        raise ValueError(f"{first} is empty: it has no rows.")
    for name, blocks in parts.items():
        if len(blocks) != n_blocks:
            raise ValueError(
                f"{first} has {n_blocks} partitions, but {name} has {len(blocks)}. "
                "Repartition one of them, so that the rows of each partition belong "
                "together."
            )
    absent = [None] * n_blocks
    names = [f"{name}{data.suffix}" for name in ("X", "y", "sample_weight")]
    return list(zip(*(parts.get(name, absent) for name in names), strict=True))


def partitions(collection):
    """The delayed partitions of a collection, in the order of the rows."""
    if isinstance(collection, list | tuple):
        return list(collection)
    return list(np.ravel(np.asarray(collection.to_delayed(), dtype=object)))


def _rows_in_chunks(name, value):
    """A collection whose partitions hold whole rows."""
    if not is_collection(value):
        raise TypeError(
            f"{name} must be a Dask array, a Dask dataframe or a list of delayed "
            f"chunks, not {type(value).__name__}. dask.array.from_array makes an "
            "array of NumPy's one of Dask's; data in memory can be fitted by "
            "the estimator of skmlp, without a cluster."
        )
    if isinstance(value, Array):
        if value.ndim not in (1, 2):
            raise ValueError(f"{name} has {value.ndim} dimensions; expected 1 or 2.")
        if value.ndim == 2 and value.numblocks[1] > 1:
            return value.rechunk({1: -1})
    return value


def _has_known_rows(value):
    return isinstance(value, Array) and not np.isnan(value.shape[0])


def _check_equal_rows(named, first, name):
    n_rows, n_other = named[first].shape[0], named[name].shape[0]
    if n_rows != n_other:
        raise ValueError(f"{first} has {n_rows} rows, but {name} has {n_other}.")


class PlacedBlocks:
    """Blocks of rows, computed on workers and kept there.

    A block stays where its partition of X is held already; others are spread over the
    workers in runs, so that the same partitions and number of workers give the same
    shards.

    Parameters
    ----------
    client : distributed.Client
    data : Collections

    Attributes
    ----------
    futures : list of Future
        Of `Block`, by partition; after `place`.
    workers : list of str
        The worker of each.
    """

    def __init__(self, client, data):
        self._client = client
        self._rows = aligned(data)
        self._names = [*data.named()]
        self._sources = _source_futures(data.X, len(self._rows))
        self.futures: list = [None] * len(self._rows)
        self.workers: list = [None] * len(self._rows)

    def place(self, workers, wait):
        """Compute the blocks that no worker holds.

        Parameters
        ----------
        workers : list of str
            Those that are there, in a fixed order.
        wait : callable
            ``wait(futures, workers)`` returns when all are done, and raises an error if
            one of the workers is lost before.
        """
        held = self._held_sources(wait)
        new = []
        for index, block in enumerate(self._rows):
            if self.workers[index] in workers:
                continue
            chosen = next((each for each in held[index] if each in workers), None)
            if chosen is None:
                # Few partitions are on the first workers, many in runs of equal length.
                slots = min(len(workers), len(self._rows))
                chosen = workers[index * slots // len(self._rows)]
            self.workers[index] = chosen
            with dask.annotate(workers=[chosen], allow_other_workers=False):
                made = delayed(_make_block, pure=False)(self._names, index, *block)
            new.append((index, made))
        futures = self._client.compute([made for _, made in new])
        for (index, _), future in zip(new, futures, strict=True):
            self.futures[index] = future
        wait(futures, {self.workers[index] for index, _ in new})

    def by_worker(self, workers):
        """The futures of each worker, in the order of the partitions."""
        return [
            [f for f, w in zip(self.futures, self.workers, strict=True) if w == worker]
            for worker in workers
        ]

    def _held_sources(self, wait):
        """Which workers hold the partitions of X already, by partition."""
        if self._sources is None:
            return [()] * len(self._rows)
        wait(self._sources)
        holders = self._client.who_has(self._sources)
        return [sorted(holders.get(each.key, ())) for each in self._sources]


def _source_futures(X, n_blocks):
    """The futures that the partitions of X are, or are made of one by one, or None."""
    found = [futures_of(each) for each in X] if isinstance(X, list | tuple) else None
    if found is not None:
        return [*chain(*found)] if all(len(each) == 1 for each in found) else None
    by_index = {
        future.key[1]: future
        for future in futures_of(X)
        if isinstance(future.key, tuple) and len(future.key) > 1
    }
    if by_index.keys() != set(range(n_blocks)) or len(futures_of(X)) != n_blocks:
        return None
    return [by_index[index] for index in range(n_blocks)]


def _make_block(names, index, X, y, sample_weight):
    """A `Block`, computed on its worker."""
    values = [value for value in (X, y, sample_weight) if value is not None]
    for name, value in zip(names[1:], values[1:], strict=True):
        if n_rows(value) != n_rows(X):
            raise ValueError(
                f"Partition {index} of {names[0]} has {n_rows(X)} rows, but that of "
                f"{name} has {n_rows(value)}."
            )
    return Block(index, X, y, sample_weight)


def n_rows(value):
    """Number of rows of a partition."""
    return value.shape[0] if hasattr(value, "shape") else len(value)


def concatenated(blocks, field):
    """One array, sparse matrix or frame of the rows of some blocks.

    Parameters
    ----------
    blocks : list of Block
        At least one, in the order of the rows.
    field : {'X', 'y', 'sample_weight'}

    Returns
    -------
    array, sparse matrix, DataFrame, Series or None
        None where the blocks have nothing of it.

    Raises
    ------
    ValueError
        For blocks of different widths or columns.
    """
    filled = [each for each in blocks if n_rows(each.X)] or blocks[:1]
    values = [getattr(each, field) for each in filled]
    if values[0] is None:
        return None
    for block, value in zip(filled, values, strict=True):
        if _columns(value) != _columns(values[0]):
            raise ValueError(
                f"The partitions of {field} have different columns: partition "
                f"{filled[0].number} has {_named(values[0])}, partition {block.number} "
                f"has {_named(value)}."
            )
    if len(values) == 1:
        return values[0]
    if any(map(sparse.issparse, values)):
        return sparse.vstack(values, format="csr")
    if all(isinstance(each, pd.DataFrame | pd.Series) for each in values):
        return pd.concat(values)
    return np.concatenate([np.asarray(each) for each in values])


def _columns(value):
    """Names of columns, or their number where they have none."""
    if isinstance(value, pd.DataFrame):
        return [*value.columns]
    return np.shape(value)[1:]


def _named(value):
    columns = _columns(value)
    if isinstance(columns, list):
        return ", ".join(map(repr, columns))
    return f"{columns[0] if columns else 1}"
