"""The machine that a benchmark runs on: processor, versions, load, rate of BLAS.

A ratio means little without the machine, and a time means nothing. Two figures are
measured at the start instead of being looked up: how busy other processes keep the
cores, and how fast BLAS multiplies matrices on this machine, on this day.
"""

import os
import platform
import time
from datetime import UTC, datetime

import joblib
import llvmlite.binding
import numpy as np
import scipy.linalg.blas
from threadpoolctl import threadpool_info, threadpool_limits

from skmlp.quick_benchmark import busy_cores
from skmlp.system_info import processor_name, version

_PACKAGES = (
    *("skmlp", "scikit-learn", "numpy", "scipy", "numba", "llvmlite"),
    *("dask", "distributed", "dask-ml"),
    *("torch", "jax", "jaxlib", "optax", "onnxruntime", "skl2onnx"),
    *("numba-cuda", "cuda-toolkit", "cuda-bindings", "cuda-core"),
    *("nvidia-cublas", "nvidia-cublas-cu12"),
)
_GEMM_SIZE = 1500
_GEMM_WARM_UPS = 5
# Above this fraction of the cores kept busy by others, the times are not to be trusted.
_QUIET_FRACTION = 0.1


def _memory_gib():
    try:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
    return round(pages / 2**30, 1)


def _vector_extension():
    """The widest vector instructions of the processor, as LLVM detects them."""
    features = llvmlite.binding.get_host_cpu_features()
    if features.get("avx512f"):
        return "with AVX-512"
    return "AVX2 without AVX-512" if features.get("avx2") else "without AVX-512"


def describe():
    """Machine, versions, load and date as a dict that goes into JSON.

    Returns
    -------
    dict
    """
    busy = busy_cores()
    blas = [
        f"{library['internal_api']} {library['version']} ({library['architecture']})"
        for library in threadpool_info()
        if library["user_api"] == "blas"
    ]
    versions = {package: version(package) for package in _PACKAGES}
    cores = joblib.cpu_count()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": processor_name(),
        "vector_extension": _vector_extension(),
        "cores": cores,
        "memory_gib": _memory_gib(),
        "busy_cores_before": busy,
        "quiet": None if busy is None else busy <= _QUIET_FRACTION * cores,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version for name, version in versions.items() if version},
        "blas": sorted(set(blas)),
    }


def _load_in_words(description):
    if description["quiet"] is None:
        return "load unknown: make sure that nothing else runs"
    busy = f"{description['busy_cores_before']} of {description['cores']} cores busy"
    if description["quiet"]:
        return f"quiet ({busy} before the run)"
    return f"NOT QUIET ({busy} before the run): do not trust the times"


def in_words(description):
    """The description in three lines of text: machine, load, versions.

    Parameters
    ----------
    description : dict
        From `describe`.

    Returns
    -------
    str
    """
    versions = description["versions"].items()
    return (
        f"{description['date']}, {description['processor']}, "
        f"{description['vector_extension']}, {description['cores']} cores, "
        f"{description['memory_gib']} GiB, {description['system']}\n"
        f"{_load_in_words(description)}\n"
        f"Python {description['python']}, "
        + ", ".join(f"{name} {version}" for name, version in versions)
        + f"; {', '.join(description['blas'])}"
    )


class Gemm:
    """Times products of square matrices with the BLAS that SciPy brings.

    The best rate counts: a neighbor that disturbs one product does not change what the
    machine can do.

    Parameters
    ----------
    dtype : {'float32', 'float64'}
    threads : int
    """

    def __init__(self, dtype, threads):
        blas = scipy.linalg.blas
        self._product = blas.sgemm if dtype == "float32" else blas.dgemm
        self._threads = threads
        shape = (_GEMM_SIZE, _GEMM_SIZE)
        factor = np.random.default_rng(0).standard_normal(shape)
        # BLAS is column-major: other layouts would time SciPy's copies too.
        self._factor = np.asfortranarray(factor, dtype=dtype)
        self._out = np.zeros(shape, dtype=dtype, order="F")
        self.best_rate = 0.0
        for _ in range(_GEMM_WARM_UPS):
            self.measure()

    def measure(self):
        """Time one product."""
        with threadpool_limits(limits=self._threads, user_api="blas"):
            start = time.perf_counter()
            self._product(
                1.0, self._factor, self._factor, c=self._out, overwrite_c=True
            )
            seconds = time.perf_counter() - start
        self.best_rate = max(self.best_rate, 2 * _GEMM_SIZE**3 / seconds)
