"""Memory that a fit needs beyond its input: 2 million rows from a file. Linux only.

X lies in a file and is mapped (`numpy.memmap`), so that its pages belong to the file
and the system may drop them at any time. The figure is therefore the *anonymous* memory
of the process, `RssAnon` in `/proc/PID/status`. The peak that the system keeps
(`VmHWM`) would count the file's pages as well, and it keeps no peak of anonymous memory
alone; hence this process samples it while another one fits. It samples from outside
because a thread of the fitting process would have to wait for the GIL. A sample every
two milliseconds misses no peak that matters: merely to touch 64 MB of new memory takes
a multiple of that.

The figure is the peak during the fit less what the process held just before. Every
process fits twice: first a few rows, so that Numba and the kernels are loaded, as they
are once in a process for any data; then the file. ``--cold`` leaves the first fit out
and shows what loading adds.
"""

import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import scenario

_FEATURES, _UNITS, _BATCH = 50, 100, 200
_ROWS_AT_ONCE = 100_000
_SAMPLE_SECONDS = 0.002
_FREE_BYTES = 64e6

_FIT = """
import sys, warnings
import numpy as np
from {module} import MLPClassifier

warnings.simplefilter("ignore")  # one epoch converges nowhere
X = np.memmap({file!r}, dtype="{dtype}", mode="r").reshape(-1, {features})
y = np.random.default_rng(0).integers(0, 2, len(X))
model = MLPClassifier(({units},), batch_size={batch}, max_iter=1, random_state=0)
rows = {warm_rows}
if rows:
    model.fit(np.array(X[:rows]), y[:rows])
print("ready", flush=True)
sys.stdin.readline()
model.fit(X, y)
print("done", flush=True)
sys.stdin.readline()
"""


def anonymous_bytes(process_id):
    """Resident memory of a process that is not backed by a file."""
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    sys.exit("this system does not tell the anonymous memory of a process")


def write_rows(file, rows, dtype):
    """A file of random numbers, written in pieces."""
    generator = np.random.default_rng(0)
    with open(file, "wb") as stream:
        for first in range(0, rows, _ROWS_AT_ONCE):
            shape = (min(_ROWS_AT_ONCE, rows - first), _FEATURES)
            generator.standard_normal(shape, dtype=dtype).tofile(stream)


def peak_over_before(module, file, dtype, cold):
    """Peak anonymous memory of a fit in a new process less that before it.

    Returns
    -------
    peak : int
        Bytes.
    seconds : float
        That the fit took.
    """
    program = _FIT.format(
        module=module,
        file=str(file),
        dtype=dtype,
        features=_FEATURES,
        units=_UNITS,
        batch=_BATCH,
        warm_rows=0 if cold else 2 * _BATCH,
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        _expect(process, b"ready\n")
        before = peak = anonymous_bytes(process.pid)
        start = time.perf_counter()
        _continue(process)
        os.set_blocking(process.stdout.fileno(), False)
        while process.stdout.readline() != b"done\n":
            if process.poll() is not None:
                sys.exit(f"the fit by {module} failed")
            peak = max(peak, anonymous_bytes(process.pid))
            time.sleep(_SAMPLE_SECONDS)
        seconds = time.perf_counter() - start
        _continue(process)
    return peak - before, seconds


def _expect(process, said):
    if process.stdout.readline() != said:
        sys.exit("the process that should fit has failed")


def _continue(process):
    process.stdin.write(b"\n")
    process.stdin.flush()


def bound(dtype):
    """Bytes that skmlp may use: 64 MB + 6 x parameters + 4 x a batch's activations."""
    sizes = (_FEATURES, _UNITS, 1)
    parameters = sum((fan_in + 1) * fan_out for fan_in, fan_out in pairwise(sizes))
    activations = _BATCH * sum(sizes)
    return _FREE_BYTES + np.dtype(dtype).itemsize * (6 * parameters + 4 * activations)


def line(entry):
    """One line of the table, in MB of a million bytes."""
    verdict = ""
    if entry["library"] == "skmlp":
        met = entry["peak"] <= entry["bound"]
        verdict = f"{entry['bound'] / 1e6:>9.1f}  {'met' if met else 'MISSED'}"
    return (
        f"{entry['library']:<10}{entry['dtype']:<10}{entry['input'] / 1e6:>10.0f}"
        f"{entry['peak'] / 1e6:>10.1f}{entry['seconds']:>9.1f} s{verdict}"
    )


def measure_library(library, file, dtype, cold):
    """The figures of one library and precision.

    Returns
    -------
    dict
    """
    module = {"skmlp": "skmlp", "sklearn": "sklearn.neural_network"}[library]
    peak, seconds = peak_over_before(module, file, dtype, cold)
    return {
        "library": library,
        "dtype": dtype,
        "input": file.stat().st_size,
        "peak": peak,
        "bound": bound(dtype),
        "seconds": seconds,
    }


def setup(options):
    """Print the heading."""
    if not sys.platform.startswith("linux"):
        sys.exit("memory.py reads /proc/PID/status, which only Linux has")
    print(
        f"{options.rows:,} x {_FEATURES}, one epoch of {_UNITS} units; MB over those "
        f"before the fit{', with the first use of the library' * options.cold}\n"
    )
    print(f"{'':<20}{'input':>10}{'peak':>10}{'fit':>11}{'bound':>9}")


def measure(_, options):
    """Yield the figures of both libraries in both precisions."""
    for dtype in scenario.BOTH_DTYPES:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "rows"
            write_rows(file, options.rows, dtype)
            for library in ("skmlp", "sklearn"):
                yield measure_library(library, file, dtype, options.cold)


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="200,000 rows",
    setup=setup,
    measure=measure,
    line=line,
    options={
        "rows": {"type": int, "full": 2_000_000, "brief": 200_000},
        "cold": {"action": "store_true", "help": "include what a process loads once"},
    },
)


if __name__ == "__main__":
    SCENARIO.main()
