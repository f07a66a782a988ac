"""X that is already on a GPU: used there without a copy, with results of its library.

CuPy and PyTorch check and convert their own arrays; a user who passes one has imported
the library. Backends only read ``__cuda_array_interface__``. Arrays of other
libraries are wrapped by one of these two (see `dlpack`).

Targets and sample weights have a number or two per row; they are copied to the host,
where labels are encoded, and so are raw outputs, where they are decoded.
"""

import functools
import sys
from typing import Any, NamedTuple, cast

import numpy as np

from skmlp.estimators import annotations as typed
from skmlp.estimators import dlpack


class _Library(NamedTuple):
    """The operations on a library's arrays, functions of its module and an array.

    Attributes
    ----------
    gpu_index : callable
        Index of the array's GPU.
    canonical : callable
        The array, C-contiguous and of the dtype of that name.
    is_finite : callable
        Whether all elements are finite.
    host : callable
        The array as a NumPy array.
    like : callable
        A NumPy array as one of the library, on the GPU of another array.
    """

    gpu_index: Any
    canonical: Any
    is_finite: Any
    host: Any
    like: Any


def _cupy_like(cupy, values, x):
    with x.device:
        return cupy.asarray(values)


_LIBRARIES = {
    "cupy": _Library(
        gpu_index=lambda cupy, x: x.device.id,
        canonical=lambda cupy, x, name: cupy.ascontiguousarray(x, dtype=name),
        is_finite=lambda cupy, x: bool(cupy.isfinite(x).all()),
        host=lambda cupy, x: x.get(),
        like=_cupy_like,
    ),
    "torch": _Library(
        gpu_index=lambda torch, x: x.device.index,
        canonical=lambda torch, x, name: (
            x.detach().to(getattr(torch, name)).contiguous()
        ),
        is_finite=lambda torch, x: bool(torch.isfinite(x).all()),
        host=lambda torch, x: x.detach().cpu().numpy(),
        like=lambda torch, values, x: torch.as_tensor(values, device=x.device),
    ),
}


def _root(x):
    return type(x).__module__.partition(".")[0]


def _call(operation, x, *arguments):
    """Call an operation of `_Library` by name, with x or other arguments."""
    library = _LIBRARIES[_root(x)]
    return getattr(library, operation)(sys.modules[_root(x)], *(arguments or (x,)))


def is_on_gpu(x):
    """Whether something is an array on a GPU, other than a `GpuArray`."""
    if type(x) is np.ndarray or isinstance(x, GpuArray):
        return False
    if _root(x) == "torch":
        return bool(getattr(x, "is_cuda", False))
    if hasattr(x, "__cuda_array_interface__"):
        return True
    return dlpack.has_dlpack(x)


def _as_known_array(x, device, name):
    """An array on the model's GPU as one of CuPy or PyTorch.

    Raises
    ------
    TypeError, ValueError
    """
    cls = f"{type(x).__module__}.{type(x).__qualname__}"
    if device == "cpu":
        raise TypeError(
            f"{name} is an array on a GPU ({cls}), but the model has device='cpu'. "
            "Pass device='cuda' to use it there, or an array on the host: x.get() of "
            "CuPy, x.cpu() of PyTorch."
        )
    if _root(x) not in _LIBRARIES:
        x = dlpack.as_consumer_array(x)
    if x is None:
        raise TypeError(
            f"{name} is an array on a GPU of a kind ({cls}) that needs CuPy or "
            "PyTorch to be looked at, neither of which is installed for GPUs."
        )
    index = _call("gpu_index", x)
    if device != "auto" and int(device.partition(":")[2] or 0) != index:
        raise ValueError(
            f"{name} is on GPU {index}, but the model has device={device!r}. Pass "
            f"device='cuda:{index}'."
        )
    return x


def to_host(x, device, name):
    """An array that the user passes, copied to the host if it is on a GPU.

    Parameters
    ----------
    x : object
    device : str
        The estimator's parameter.
    name : str
        For errors.

    Raises
    ------
    TypeError, ValueError
        For an array on another device.
    """
    return _call("host", _as_known_array(x, device, name)) if is_on_gpu(x) else x


def _dtype(x):
    """The dtype of an array, in NumPy's terms.

    Raises
    ------
    TypeError
        For one that NumPy does not have.
    """
    name = str(x.dtype).removeprefix("torch.")
    try:
        return np.dtype(name)
    except TypeError:
        raise TypeError(
            f"X is of dtype {name}, which NumPy does not have. Convert it, a tensor of "
            "PyTorch by x.float() for instance."
        ) from None


class GpuArray:
    """X on a GPU, in the form that estimators and backends use.

    Parameters
    ----------
    x : array on a GPU
    device : str
        The estimator's parameter.
    name : str, default='X'
        For errors.

    Raises
    ------
    TypeError, ValueError
        For an array on another device.
    """

    def __init__(self, x, device, name="X"):
        self._x = _as_known_array(x, device, name)
        self.shape = tuple(self._x.shape)
        self.dtype = _dtype(self._x)
        self.device = f"cuda:{_call('gpu_index', self._x)}"

    @property
    def __cuda_array_interface__(self):
        """The protocol by which backends read it."""
        return self._x.__cuda_array_interface__

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, row_ids):
        """Some rows as a NumPy array."""
        return _call("host", self._x[self.like(row_ids)])

    def like(self, values):
        """A NumPy array as one of the library that holds X, on the same GPU."""
        return _call("like", self._x, values, self._x)

    def checked(self, dtypes):
        """X in canonical form, with the checks of scikit-learn's validation.

        Parameters
        ----------
        dtypes : list of numpy dtype
            Allowed dtypes; an X of any other dtype is converted to the first.

        Returns
        -------
        GpuArray
            C-contiguous; not copied if X is canonical already.

        Raises
        ------
        ValueError
        """
        if len(self.shape) != 2:
            raise ValueError(
                f"Expected 2D array, got an array of shape {self.shape} instead. "
                "Reshape your data either using x.reshape(-1, 1) if your data has a "
                "single feature or x.reshape(1, -1) if it contains a single sample."
            )
        if 0 in self.shape:
            raise ValueError(
                f"Found array with shape {self.shape}, while at least one sample and "
                "one feature are required."
            )
        if self.dtype.kind not in "biuf":
            raise ValueError(f"X must be of real numbers, got dtype {self.dtype}.")
        dtype = self.dtype if self.dtype in dtypes else dtypes[0]
        canonical = _call("canonical", self._x, self._x, dtype.name)
        # After the conversion, because numbers may be too large for the new dtype.
        if not _call("is_finite", canonical):
            raise ValueError("Input X contains NaN or infinity.")
        return GpuArray(canonical, "auto")


def returns_like_input(method: typed.Function) -> typed.Function:
    """Method decorator: for an X on a GPU, results are arrays of its library there.

    Labels that are not numbers stay on the host.
    """

    @functools.wraps(method)
    def wrapper(self, X, *args, **kwargs):
        if not is_on_gpu(X):
            return method(self, X, *args, **kwargs)
        x = GpuArray(X, self.device)
        result = method(self, x, *args, **kwargs)
        if isinstance(result, tuple | list):
            return type(result)(_like_input(part, x, X) for part in result)
        return _like_input(result, x, X)

    return cast(typed.Function, wrapper)


def _like_input(values, x, user_input):
    if not (isinstance(values, np.ndarray) and values.dtype.kind in "biuf"):
        return values
    result = x.like(values)
    return (
        result if _root(user_input) in _LIBRARIES else dlpack.like(result, user_input)
    )
