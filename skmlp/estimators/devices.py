"""Where a fit and its predictions take place, and in which precision.

A fit that is to use a GPU uses it or fails. A prediction needs none: the parameters are
NumPy arrays, and a model that was trained on a GPU is often used where there is none.
"""

import logging
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from skmlp.backends import get_backend
from skmlp.backends.cuda.runtime import device as gpu
from skmlp.estimators.gpu_arrays import OnGpu
from skmlp.estimators.parameters import STOCHASTIC_SOLVERS

_LOG = logging.getLogger("skmlp")


class Place(NamedTuple):
    """Where a fit takes place.

    Attributes
    ----------
    device : str
        'cpu', or the name of a GPU.
    backend : module or object
    matmul_precision : {'highest', 'tf32'}
        See `skmlp.backends.Problem`.
    """

    device: str
    backend: Any
    matmul_precision: str


def check_dtype(estimator):
    """Refuse a precision that the device does not have.

    Raises
    ------
    ValueError
    """
    if estimator.matmul_precision != "tf32":
        return
    if estimator.device == "cpu":
        raise ValueError(
            "matmul_precision='tf32' needs a GPU, by device='cuda' or device='auto', "
            "got device='cpu': no CPU multiplies in that format. Use "
            "matmul_precision='highest'."
        )
    if required_dtype(estimator) != np.float32:
        raise ValueError(
            "matmul_precision='tf32' needs dtype='float32' or dtype=None, got "
            f"dtype={estimator.dtype!r}: its products have float32 factors. Use "
            "matmul_precision='highest'."
        )


def required_dtype(estimator):
    """The dtype that the parameters ask for; None where it follows the data.

    TensorFloat-32 products have float32 factors.
    """
    if estimator.dtype is not None:
        return np.dtype(estimator.dtype)
    return np.dtype(np.float32) if estimator.matmul_precision == "tf32" else None


def precision(estimator):
    """Dtypes that X may have, the first being that of any other X.

    They do not depend on the machine: 'auto' takes those of the CPU.
    """
    required = required_dtype(estimator)
    if required is not None:
        return required
    if estimator.device.startswith("cuda"):
        return np.float32
    return np.float64, np.float32


def training_place(estimator, network, sample):
    """Where to train.

    Parameters
    ----------
    estimator : BaseMLP
    network : skmlp.network.Network
    sample : Sample
        The training data.

    Returns
    -------
    Place

    Raises
    ------
    ImportError, RuntimeError
        If ``device`` names a GPU that cannot be used.
    """
    device = estimator.device
    if device == "auto":
        if isinstance(sample.x, OnGpu):
            device, reason = sample.x.device, "X is there"
        else:
            device, reason = _chosen(_work(estimator, network, sample), sample.x)
        _LOG.info("device='auto': training on device=%r (%s)", device, reason)
    precision = "highest" if device == "cpu" else estimator.matmul_precision
    return Place(device, get_backend(device), precision)


def prediction_backend(estimator, x):
    """The backend to predict on: that of the device if there is one, else the CPU's.

    For an `x` that is on a GPU already, it is that GPU's.
    """
    if isinstance(x, OnGpu):
        return get_backend(x.device)
    device = estimator.device
    if device == "auto":
        device = estimator.device_
    if device != "cpu":
        found = gpu.obstacle(_number(device))
        if found is not None:
            _LOG.info("Predicting on the CPU, not %r: %s", device, found.reason)
            device = "cpu"
    return get_backend(device)


def _number(device):
    return int(device.partition(":")[2] or 0)


def _chosen(work, x):
    """The device that 'auto' stands for, and why."""
    found = gpu.obstacle(0)
    if found is not None:
        return "cpu", found.reason
    worth, reason = gpu.worth_it(work, x.dtype, 0)
    if not worth:
        return "cpu", reason
    # A dense X comes by the part where there is no room for it.
    missing = get_backend("cuda").missing_memory(x) if sparse.issparse(x) else None
    return ("cuda", reason) if missing is None else ("cpu", missing)


def _work(estimator, network, sample):
    """Operations of a training step, forward and back."""
    row = 6.0 * sum(fan_in * fan_out for fan_in, fan_out in network.shapes)
    if sparse.issparse(sample.x):
        n_rows, n_features = sample.x.shape
        row -= 6.0 * network.sizes[1] * (n_features - sample.x.nnz / n_rows)
    rows = len(sample.rows)
    if estimator.solver in STOCHASTIC_SOLVERS:
        batch = 200 if estimator.batch_size == "auto" else estimator.batch_size
        rows = min(rows, batch)
    return rows * row
