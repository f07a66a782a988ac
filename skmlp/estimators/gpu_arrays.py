"""X that is on a GPU already: used where it lies, and answered in kind.

Arrays of CuPy and tensors of PyTorch are looked at and converted by their own library,
which is imported already where there is one. Backends see no more of them than
``__cuda_array_interface__``. Arrays of others are lent to one of these (see `lending`).

Targets and weights are a number or two a row; they are brought to the host, where
labels are encoded, and so are raw outputs, where they are decoded.
"""

import functools
import sys
from typing import Any, NamedTuple

import numpy as np

from skmlp.estimators import dlpack


class _Library(NamedTuple):
    """How a library does what has to be done with its arrays.

    Attributes
    ----------
    number : callable
        Number of the GPU that an array is on.
    canonical : callable
        The array, C-contiguous and of the dtype of that name.
    is_finite : callable
        Whether all elements are finite.
    host : callable
        The array as one of NumPy.
    like : callable
        An array of NumPy, in the place and of the kind of another.
    """

    number: Any
    canonical: Any
    is_finite: Any
    host: Any
    like: Any


def _cupy_like(cupy, values, x):
    with x.device:
        return cupy.asarray(values)


_LIBRARIES = {
    "cupy": _Library(
        number=lambda cupy, x: x.device.id,
        canonical=lambda cupy, x, name: cupy.ascontiguousarray(x, dtype=name),
        is_finite=lambda cupy, x: bool(cupy.isfinite(x).all()),
        host=lambda cupy, x: x.get(),
        like=_cupy_like,
    ),
    "torch": _Library(
        number=lambda torch, x: x.device.index,
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


def _do(what, x, *arguments):
    """Let the library of an array do something."""
    library = _LIBRARIES[_root(x)]
    return getattr(library, what)(sys.modules[_root(x)], *arguments)


def is_on_gpu(x):
    """Whether something is an array on a GPU, other than an `OnGpu`."""
    if isinstance(x, OnGpu):
        return False
    if _root(x) == "torch":
        return bool(getattr(x, "is_cuda", False))
    if hasattr(x, "__cuda_array_interface__"):
        return True
    return dlpack.has_dlpack(x)


def _usable(name, x, device):
    """An array on a GPU as one of CuPy or PyTorch, if it is where the model is.

    Raises
    ------
    TypeError, ValueError
    """
    kind = f"{type(x).__module__}.{type(x).__qualname__}"
    if device == "cpu":
        raise TypeError(
            f"{name} is an array on a GPU ({kind}), but the model has device='cpu'. "
            "Pass device='cuda' to use it there, or an array on the host: x.get() of "
            "CuPy, x.cpu() of PyTorch."
        )
    if _root(x) not in _LIBRARIES:
        x = dlpack.lent(x)
    if x is None:
        raise TypeError(
            f"{name} is an array on a GPU of a kind ({kind}) that needs CuPy or "
            "PyTorch to be looked at, neither of which is installed for GPUs."
        )
    number = _do("number", x, x)
    if device != "auto" and int(device.partition(":")[2] or 0) != number:
        raise ValueError(
            f"{name} is on GPU {number}, but the model has device={device!r}. Pass "
            f"device='cuda:{number}'."
        )
    return x


def on_host(device, **arrays):
    """Arrays as users pass them, those on a GPU as arrays of NumPy.

    Parameters
    ----------
    device : str
        Of the estimator.
    **arrays
        By the name that an error shall call them by.

    Raises
    ------
    TypeError, ValueError
        For arrays on another device.
    """
    for name, x in arrays.items():
        if is_on_gpu(x):
            there = _usable(name, x, device)
            arrays[name] = _do("host", there, there)
    return tuple(arrays.values())


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


class OnGpu:
    """X on a GPU, as the estimators and backends take it.

    Parameters
    ----------
    x : array on a GPU
    device : str
        Of the estimator.
    name : str, default='X'
        For errors.

    Raises
    ------
    TypeError, ValueError
        For an array on another device.
    """

    def __init__(self, x, device, name="X"):
        self._x = _usable(name, x, device)
        self.shape = tuple(self._x.shape)
        self.dtype = _dtype(self._x)
        self.device = f"cuda:{_do('number', self._x, self._x)}"

    @property
    def __cuda_array_interface__(self):
        """What backends read it by."""
        return self._x.__cuda_array_interface__

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, rows):
        """Some rows, by their numbers, as an array of NumPy."""
        chosen = self._x[self.like(rows)]
        return _do("host", chosen, chosen)

    def like(self, values):
        """An array of NumPy as one of the library that X is used by, beside X."""
        return _do("like", self._x, values, self._x)

    def checked(self, dtypes):
        """The same as backends take it, by the measure of scikit-learn's validation.

        Parameters
        ----------
        dtypes : list of numpy dtype
            That X may have, the first being that of any other X.

        Returns
        -------
        OnGpu
            C-contiguous; no copy where X is already what is asked for.

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
        same = _do("canonical", self._x, self._x, dtype.name)
        # Numbers may be too large for the new dtype: only now are they looked at.
        if not _do("is_finite", same, same):
            raise ValueError("Input X contains NaN or infinity.")
        return OnGpu(same, "auto")


def prepared(device, X, y, sample_weight):
    """X, y and weights as a score takes them: predictions for it are on the host."""
    y, sample_weight = on_host(device, y=y, sample_weight=sample_weight)
    return (OnGpu(X, device) if is_on_gpu(X) else X), y, sample_weight


def answers_in_kind(method):
    """Method decorator: results for an X on a GPU are arrays of its kind there.

    Labels that are not numbers are left on the host.
    """

    @functools.wraps(method)
    def answered(self, X, *args, **kwargs):
        if not is_on_gpu(X):
            return method(self, X, *args, **kwargs)
        there = OnGpu(X, self.device)
        found = method(self, there, *args, **kwargs)
        if isinstance(found, tuple):
            return tuple(_in_kind(part, there, X) for part in found)
        return _in_kind(found, there, X)

    return answered


def _in_kind(values, there, x):
    if not (isinstance(values, np.ndarray) and values.dtype.kind in "biuf"):
        return values
    found = there.like(values)
    return found if _root(x) in _LIBRARIES else dlpack.returned(found, x)
