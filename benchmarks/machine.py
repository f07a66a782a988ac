"""What a benchmark ran on: description, versions and the rate of matrix products.

A ratio means little without the machine, and a time means nothing. The rate of BLAS is
measured and not computed from a data sheet: it is what the machine gives to anybody
who multiplies matrices, on the day and with the neighbors it has.
"""

import importlib.metadata
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import joblib
import numpy as np
import scipy.linalg.blas
from threadpoolctl import threadpool_info, threadpool_limits

_PACKAGES = (
    *("skmlp", "scikit-learn", "numpy", "scipy", "numba", "llvmlite", "torch"),
    *("numba-cuda", "cuda-toolkit", "cuda-bindings", "cuda-core"),
    *("nvidia-cublas", "nvidia-cublas-cu12"),
)
_GEMM_SIZE = 1500
_GEMM_WARM_UPS = 5
# More processes than this waiting for each core, and times are not to be trusted.
_QUIET_LOAD = 0.25


def _processor():
    """Name of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    fields = {key.strip(): value.strip() for key, value in fields.items()}
    name = fields.get("model name", platform.machine())
    if "cpu family" in fields:
        name += f" (family {fields['cpu family']}, model {fields['model']})"
    return name


def _memory_gib():
    try:
        pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
    return round(pages / 2**30, 1)


def _version(package):
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _load():
    """Processes that waited for a core in the last minute: near 0 when quiet."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def describe():
    """Machine, versions and date as a dict that goes into JSON.

    Returns
    -------
    dict
    """
    blas = [
        f"{library['internal_api']} {library['version']} ({library['architecture']})"
        for library in threadpool_info()
        if library["user_api"] == "blas"
    ]
    versions = {package: _version(package) for package in _PACKAGES}
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "cores": joblib.cpu_count(),
        "memory_gib": _memory_gib(),
        "load_before": _load(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": {name: version for name, version in versions.items() if version},
        "blas": sorted(set(blas)),
    }


def in_words(description):
    """The description in two lines of text.

    Parameters
    ----------
    description : dict
        From `describe`.

    Returns
    -------
    str
    """
    versions = description["versions"].items()
    load = description["load_before"]
    busy = load is not None and load > _QUIET_LOAD * description["cores"]
    return (
        f"{description['date']}, {description['processor']}, "
        f"{description['cores']} cores, {description['memory_gib']} GiB, "
        f"{description['system']}, load {load}"
        + (" (NOT QUIET: do not trust the times)\n" if busy else "\n")
        + f"Python {description['python']}, "
        + ", ".join(f"{name} {version}" for name, version in versions)
        + f"; {', '.join(description['blas'])}"
    )


class Gemm:
    """Times products of square matrices with the BLAS that SciPy brings.

    The best product counts: what the machine can do is not changed by a neighbor who
    disturbed one of them.

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
