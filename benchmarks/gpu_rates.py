"""What a GPU gives to anybody: rates of arithmetic and memory, costs of a launch.

The kernels here are the simplest that reach the limit. A step of training is put beside
them: it can be no faster than its operations at the measured rate of arithmetic, or its
numbers at that of the memory.
"""

import ctypes
import itertools
import sys
import time

import numpy as np
from numba import cuda, float32

from skmlp.backends.cuda.runtime import device as gpu
from skmlp.backends.cuda.runtime.content_hash import content_hash
from skmlp.backends.cuda.runtime.launch import configured

_SECONDS = 0.5
_THREADS = 256
_CHAINS = 8
_MULTIPLICATIONS = 20_000
_COPIED_FLOATS = 1 << 26
_PRODUCT_SIDE = 8192
_MONITOR = "nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1"
_LONGEST_RELEASE = 80


@cuda.jit
def do_nothing(out):
    """What a launch costs."""


@cuda.jit
def meet(times):
    """Let the whole grid meet so many times."""
    grid = cuda.cg.this_grid()
    for _ in range(times):
        grid.sync()


@cuda.jit
def multiply_and_add(out, times):
    """Eight chains of fused operations a thread, which depend on nothing else."""
    factor, term = out[0], out[1]
    a, b, c, d = float32(0), float32(1), float32(2), float32(3)
    e, f, g, h = float32(4), float32(5), float32(6), float32(7)
    for _ in range(times):
        a = a * factor + term
        b = b * factor + term
        c = c * factor + term
        d = d * factor + term
        e = e * factor + term
        f = f * factor + term
        g = g * factor + term
        h = h * factor + term
    total = a + b + c + d + e + f + g + h
    # Never true, but the compiler cannot know.
    if total == float32(-1):
        out[0] = total


def seconds_of(call, wait):
    """Mean time of a call, over half a second and more.

    Parameters
    ----------
    call : callable
    wait : callable
        Waits for the device.
    """
    call()
    wait()
    n, seconds = 1, 0.0
    while seconds < _SECONDS:
        n = n if seconds == 0 else int(1.2 * n * _SECONDS / seconds) + 1
        start = time.perf_counter()
        for _ in range(n):
            call()
        wait()
        seconds = max(time.perf_counter() - start, 1e-9)
    return seconds / n


def _of_kernels(blocks):
    """What kernels of one's own reach."""
    numbers = cuda.to_device(np.zeros(2, dtype=np.float32))
    source = cuda.device_array(_COPIED_FLOATS, np.float32)
    target = cuda.device_array(_COPIED_FLOATS, np.float32)
    many = 16 * blocks
    wait = cuda.synchronize
    nothing = configured(do_nothing, 1, 32)
    meeting = configured(meet, blocks, _THREADS)
    multiplying = configured(multiply_and_add, many, _THREADS)
    launch = seconds_of(lambda: nothing(numbers), wait)
    alone = seconds_of(lambda: meeting(0), wait)
    met = seconds_of(lambda: meeting(1000), wait)
    arithmetic = seconds_of(lambda: multiplying(numbers, _MULTIPLICATIONS), wait)
    operations = 2.0 * _CHAINS * _MULTIPLICATIONS * many * _THREADS
    copy = seconds_of(lambda: target.copy_to_device(source), wait)
    return {
        "launch_us": 1e6 * launch,
        "cooperative_launch_us": 1e6 * alone,
        "grid_sync_us": 1e6 * (met - alone) / 1000,
        "fp32_tflops": operations / arithmetic / 1e12,
        "bandwidth_gbs": 2 * source.nbytes / copy / 1e9,
    }


def _of_the_host():
    """How fast an array of the host is sent, and found to be one that was sent."""
    array = np.random.default_rng(0).random(_COPIED_FLOATS, dtype=np.float32)
    target = cuda.device_array(_COPIED_FLOATS, np.float32)
    sent = seconds_of(lambda: target.copy_to_device(array), cuda.synchronize)
    looked_at = seconds_of(lambda: content_hash(array), cuda.synchronize)
    return {
        "upload_gbs": array.nbytes / sent / 1e9,
        "fingerprint_gbs": array.nbytes / looked_at / 1e9,
    }


def _of_products():
    """What cuBLAS reaches, as PyTorch calls it; nothing without PyTorch."""
    try:
        import torch
    except ImportError:
        return {}
    if not torch.cuda.is_available():
        return {}
    factor = torch.randn(_PRODUCT_SIDE, _PRODUCT_SIDE, device="cuda")
    found = {}
    for name, precision in (("fp32", "highest"), ("tf32", "high")):
        torch.set_float32_matmul_precision(precision)
        seconds = seconds_of(lambda: factor @ factor, torch.cuda.synchronize)
        found[f"cublas_{name}_tflops"] = 2.0 * _PRODUCT_SIDE**3 / seconds / 1e12
    return found


def release_of_driver(library=_MONITOR):
    """Release of the driver, as '580.65.06'; None if it cannot be asked.

    Parameters
    ----------
    library : str
        NVIDIA's management library, which comes with the driver.
    """
    try:
        monitor = ctypes.CDLL(library)
    except OSError:
        return None
    if monitor.nvmlInit_v2() != 0:
        return None
    release = ctypes.create_string_buffer(_LONGEST_RELEASE)
    status = monitor.nvmlSystemGetDriverVersion(release, _LONGEST_RELEASE)
    monitor.nvmlShutdown()
    return release.value.decode() if status == 0 else None


def measure():
    """All rates of the current device, with its name.

    Returns
    -------
    dict
    """
    device = cuda.get_current_device()
    name = device.name
    return {
        "gpu": name.decode() if isinstance(name, bytes) else str(name),
        "compute_capability": list(device.compute_capability),
        "driver": release_of_driver(),
        "cuda_of_driver": gpu.open_driver().cuda_version(),
        "multiprocessors": device.MULTIPROCESSOR_COUNT,
        **_of_kernels(device.MULTIPROCESSOR_COUNT),
        **_of_the_host(),
        **_of_products(),
    }


def in_words(rates):
    """The rates in some lines of text."""
    lines = [
        f"{rates['gpu']}, {rates['multiprocessors']} multiprocessors, driver "
        f"{rates['driver'] or 'of unknown release'} of CUDA "
        f"{rates['cuda_of_driver'] // 1000}.{rates['cuda_of_driver'] % 1000 // 10}",
        f"launch {rates['launch_us']:.1f} us, of a cooperative grid "
        f"{rates['cooperative_launch_us']:.1f} us, grid.sync "
        f"{rates['grid_sync_us']:.2f} us",
        f"fp32 {rates['fp32_tflops']:.1f} TFLOP/s, memory "
        f"{rates['bandwidth_gbs']:.0f} GB/s",
        f"arrays of the host: sent at {rates['upload_gbs']:.1f} GB/s, known again at "
        f"{rates['fingerprint_gbs']:.1f} GB/s",
    ]
    products = [
        f"{name} {rates[f'cublas_{name}_tflops']:.1f} TFLOP/s"
        for name in ("fp32", "tf32")
        if f"cublas_{name}_tflops" in rates
    ]
    if products:
        lines.append(f"products of matrices by cuBLAS: {', '.join(products)}")
    return "\n".join(lines)


def floor_us(workload, rates, operations_rate):
    """Microseconds that a step takes at least, by arithmetic and by memory.

    The batch is read once; parameters and Adam's moments are read and written once.

    Parameters
    ----------
    workload : workloads.Workload
    rates : dict
        From `measure`.
    operations_rate : str
        Which of them is that of the arithmetic.
    """
    steps = workload.rows / workload.batch_size
    sizes = (workload.features, *workload.hidden, workload.outputs)
    pairs = itertools.pairwise(sizes)
    parameters = sum((fan_in + 1) * fan_out for fan_in, fan_out in pairs)
    numbers = workload.batch_size * workload.features + 6 * parameters
    arithmetic = workload.flops / steps / rates[operations_rate] / 1e6
    return max(arithmetic, 4 * numbers / rates["bandwidth_gbs"] / 1e3)
