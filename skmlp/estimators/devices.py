"""The choice of the device: where to train and to predict, and in which precision.

A fit whose ``device`` names a GPU uses that GPU or fails. A prediction falls back to
the CPU: the parameters are NumPy arrays, and a model trained on a GPU is often used on
a machine without one.

No other module of the estimators knows about the CUDA backend. This one asks it whether
a GPU can be used, whether it would be faster, and whether a sparse X fits into its
memory.
"""

import logging
from typing import NamedTuple

import numpy as np
from scipy import sparse

from skmlp.backends import Backend, get_backend
from skmlp.backends.cuda.runtime import device as gpu
from skmlp.estimators.gpu_arrays import GpuArray
from skmlp.estimators.parameters import STOCHASTIC_SOLVERS

_LOG = logging.getLogger("skmlp")


class Target(NamedTuple):
    """The device that a fit trains on, and how.

    Attributes
    ----------
    device : str
        'cpu', or the name of a GPU.
    backend : skmlp.backends.Backend
    matmul_precision : {'highest', 'tf32'}
        See `skmlp.backends.Problem`.
    """

    device: str
    backend: Backend
    matmul_precision: str


def required_dtype(estimator):
    """The dtype that the parameters ask for; None where it follows the data.

    TensorFloat-32 products have float32 factors.
    """
    if estimator.dtype is not None:
        return np.dtype(estimator.dtype)
    return np.dtype(np.float32) if estimator.matmul_precision == "tf32" else None


def allowed_dtypes(estimator):
    """Allowed dtypes of X; an X of any other dtype is converted to the first.

    They do not depend on the machine: 'auto' uses those of the CPU.
    """
    required = required_dtype(estimator)
    if required is not None:
        return required
    if estimator.device.startswith("cuda"):
        return np.float32
    return np.float64, np.float32


def training_target(estimator, network, sample):
    """Choose the device to train on.

    Parameters
    ----------
    estimator : BaseMLP
    network : skmlp.network.Network
    sample : Sample
        The training data.

    Returns
    -------
    Target

    Raises
    ------
    ImportError, RuntimeError
        If ``device`` names a GPU that cannot be used.
    """
    device = estimator.device
    if device == "auto":
        if isinstance(sample.x, GpuArray):
            device, reason = sample.x.device, "X is there"
        else:
            device, reason = _chosen(_work(estimator, network, sample), sample.x)
        _LOG.info("device='auto': training on device=%r (%s)", device, reason)
    precision = "highest" if device == "cpu" else estimator.matmul_precision
    return Target(device, get_backend(device), precision)


def prediction_backend(estimator, x):
    """The backend to predict with: the device's if it can be used, else the CPU's.

    An `x` that is already on a GPU is predicted there.
    """
    if isinstance(x, GpuArray):
        return get_backend(x.device)
    device = estimator.device
    if device == "auto":
        device = estimator.device_
    if device != "cpu":
        obstacle = gpu.obstacle(_gpu_index(device))
        if obstacle is not None:
            _LOG.info("Predicting on the CPU, not %r: %s", device, obstacle.reason)
            device = "cpu"
    return get_backend(device)


def _gpu_index(device):
    return int(device.partition(":")[2] or 0)


def _chosen(work, x):
    """The device that 'auto' stands for, and the reason."""
    obstacle = gpu.obstacle(0)
    if obstacle is not None:
        return "cpu", obstacle.reason
    worth, reason = gpu.worth_it(work, x.dtype, 0)
    if not worth:
        return "cpu", reason
    # A dense X that does not fit into the GPU's memory is streamed.
    missing = get_backend("cuda").missing_memory(x) if sparse.issparse(x) else None
    return ("cuda", reason) if missing is None else ("cpu", missing)


def _work(estimator, network, sample):
    """Floating-point operations of a training step, forward and backward."""
    per_row = 6.0 * sum(fan_in * fan_out for fan_in, fan_out in network.shapes)
    if sparse.issparse(sample.x):
        n_rows, n_features = sample.x.shape
        per_row -= 6.0 * network.sizes[1] * (n_features - sample.x.nnz / n_rows)
    n_rows = len(sample.row_ids)
    if estimator.solver in STOCHASTIC_SOLVERS:
        batch_size = 200 if estimator.batch_size == "auto" else estimator.batch_size
        n_rows = min(n_rows, batch_size)
    return n_rows * per_row
