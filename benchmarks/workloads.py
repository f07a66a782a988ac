"""The grid of networks that the benchmarks train, with synthetic data for each.

The grid spans what people train with scikit-learn: from a dozen features and 32 units,
where a step is mostly overhead, to 784 × 512 × 512 units, where it is mostly
arithmetic. It is fixed, and not trimmed to favorable cases. The data are synthetic,
because the time of an epoch depends on shapes alone; they can be learned all the same,
so that no activation saturates and no number becomes denormal.
"""

import itertools
from typing import NamedTuple

import numpy as np


class Workload(NamedTuple):
    """One network, its batches and its data's shape.

    Attributes
    ----------
    task : {'binary', 'multiclass', 'regression'}
    features : int
    hidden : tuple of int
    outputs : int
    activation : str
    batch_size : int
    rows : int
    epochs : int
        Of the long fit; chosen so that scikit-learn takes about half a second.
    """

    task: str
    features: int
    hidden: tuple
    outputs: int
    activation: str
    batch_size: int
    rows: int
    epochs: int

    @property
    def name(self):
        """Shape, activation, batch size and task in one word."""
        shape = "x".join(map(str, (self.features, *self.hidden)))
        return f"{shape}-{self.activation}-b{self.batch_size}-{self.task}"

    @property
    def flops(self):
        """Operations in the matrix products of one epoch.

        Two a weight and row for each of forward pass, gradient and propagation back;
        nothing is propagated back to the data.
        """
        sizes = (self.features, *self.hidden, self.outputs)
        products = [a * b for a, b in itertools.pairwise(sizes)]
        return self.rows * (6 * sum(products) - 2 * products[0])


GRID = (
    Workload("binary", 20, (100,), 1, "relu", 200, 10_000, 20),
    Workload("regression", 12, (32,), 1, "relu", 32, 4_000, 20),
    Workload("binary", 20, (32,), 1, "tanh", 32, 4_000, 20),
    Workload("binary", 30, (64, 32), 1, "logistic", 64, 6_000, 12),
    Workload("regression", 13, (50, 50, 50), 1, "tanh", 64, 4_000, 12),
    Workload("multiclass", 64, (100,), 10, "relu", 200, 1_797, 60),
    Workload("multiclass", 54, (100, 50), 7, "tanh", 128, 10_000, 6),
    Workload("regression", 40, (64,), 1, "logistic", 1_024, 20_000, 12),
    Workload("multiclass", 100, (256,), 10, "relu", 256, 10_000, 6),
    Workload("binary", 200, (128, 128, 128), 1, "relu", 256, 10_000, 5),
    Workload("regression", 256, (512,), 1, "relu", 512, 8_192, 5),
    Workload("multiclass", 784, (128,), 10, "relu", 200, 10_000, 4),
    Workload("multiclass", 784, (256, 128), 10, "logistic", 128, 8_192, 3),
    Workload("multiclass", 300, (512, 256), 20, "tanh", 1_024, 8_192, 3),
    Workload("multiclass", 784, (512, 512), 10, "relu", 1_024, 8_192, 3),
)
# A network dominated by overhead, a usual one, and one dominated by arithmetic.
QUICK = (GRID[1], GRID[0], GRID[13])


def data(workload, dtype):
    """Synthetic X and y of a workload.

    Parameters
    ----------
    workload : Workload
    dtype : str
        Of X, and of y in regression: a wider y would make scikit-learn compute in it.

    Returns
    -------
    X : ndarray of shape (rows, features)
    y : ndarray of shape (rows,)
    """
    generator = np.random.default_rng(0)
    X = generator.standard_normal((workload.rows, workload.features), dtype=np.float32)
    columns = max(workload.outputs, 2)
    directions = generator.standard_normal((workload.features, columns))
    scores = X @ directions / np.sqrt(workload.features)
    scores += 0.5 * generator.standard_normal(scores.shape)
    if workload.task == "regression":
        y = np.sin(scores[:, 0]).astype(dtype)
    else:
        y = scores.argmax(axis=1)
    return X.astype(dtype), y
