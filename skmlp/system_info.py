"""What skmlp runs on: versions, processor, threads, GPU, caches of kernels.

For reports of faults, and to see why a fit takes as long as it does. `show_versions`
prints it, as ``python -m skmlp`` does. Nothing is compiled, no package is imported only
to ask for its version, and no folder is made.
"""

import glob
import os
import platform
import re
import stat
import sys
from importlib import metadata
from pathlib import Path

from skmlp.backends import limits, threads
from skmlp.backends.cuda.runtime import device

_REQUIRED = ("skmlp", "numpy", "scipy", "scikit-learn", "numba", "llvmlite", "joblib")
_OPTIONAL = (
    *("pandas", "polars", "pyarrow", "matplotlib", "threadpoolctl"),
    *("skl2onnx", "onnx", "onnxruntime", "skops", "dask"),
    *("numba-cuda", "cuda-bindings", "cuda-core", "nvidia-cublas", "cupy", "torch"),
)
# Of the features of a processor, those that say how fast networks are trained.
_VECTOR_FEATURES = (
    *("sse2", "sse4.2", "avx", "avx2", "fma", "f16c", "avx512f", "avx512vl"),
    *("avx512bf16", "amx-tile", "neon", "sve", "sve2"),
)
_LIMITING_VARIABLES = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "LOKY_MAX_CPU_COUNT")
_OWN_VARIABLES = ("SKMLP_CACHE_DIR", "SKMLP_CPU")
_NUMBA_VARIABLES = ("NUMBA_CPU_NAME", "NUMBA_CPU_FEATURES", "NUMBA_ENABLE_AVX")


def show_versions():
    """Print the versions, the processor, threads, GPU, and the caches of kernels.

    The same as ``python -m skmlp``. Where there is an NVIDIA driver, it is started, so
    that a process forked later cannot use the GPU.

    Examples
    --------
    >>> import skmlp
    >>> skmlp.show_versions()  # doctest: +ELLIPSIS
    Versions
        skmlp ...
    """
    print(in_words(system_info()))


def system_info():
    """What `show_versions` prints.

    Returns
    -------
    dict of dict of str
        By section and by entry.
    """
    return {
        "Versions": _versions(),
        "Processor": _processor(),
        "Threads": _threads(),
        "GPU": _gpu(),
        "Cache of compiled kernels": _caches(),
    }


def in_words(sections):
    """Sections as lines of text, in two columns.

    Parameters
    ----------
    sections : dict of dict of str
        From `system_info`.

    Returns
    -------
    str
    """
    width = max(len(name) for entries in sections.values() for name in entries) + 2
    lines = []
    for title, entries in sections.items():
        lines += ["", title]
        for name, text in entries.items():
            first, *others = text.splitlines() or [""]
            lines.append(f"    {name:<{width}}{first}".rstrip())
            lines += [f"    {'':<{width}}{other}" for other in others]
    return "\n".join(lines[1:])


def version(package):
    """The version of an installed distribution; None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _versions():
    package = sys.modules[__name__.partition(".")[0]]
    # A tree that is not installed has no metadata, or those of another one.
    place = os.path.dirname(os.path.abspath(__file__))
    found = {"skmlp": f"{package.__version__}, in {place}"}
    found["python"] = f"{platform.python_version()}, {sys.executable or 'embedded'}"
    found |= {name: version(name) or "not found" for name in _REQUIRED[1:]}
    optional = {name: version(name) for name in _OPTIONAL}
    found |= {name: text for name, text in optional.items() if text}
    missing = [name for name, text in optional.items() if not text]
    if missing:
        found["not installed"] = ", ".join(missing)
    found["system"] = platform.platform()
    return found


def processor_name():
    """Name of the processor, as far as the system tells it.

    Returns
    -------
    str
    """
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


def _processor():
    from skmlp.compiler import target

    features = target.host_features()
    missing = target.missing_features
    runnable = [each for each in target.baselines() if not missing(each)]
    found = {
        "name": processor_name(),
        "known to LLVM as": target.native_processor()[1],
        "vector features": ", ".join(
            each for each in _VECTOR_FEATURES if each in features
        ),
        "can run kernels for": ", ".join(["native", *runnable]),
    }
    try:
        chosen = target.current()
    except ValueError as error:
        found["kernels are for"] = f"none: {error}"
    else:
        width = f"vectors of {chosen.vector_bytes} bytes"
        found["kernels are for"] = f"{chosen.name}, {width}"
    return found


def _threads():
    found = {"a fit may use": str(threads.available_threads(None))}
    found["cores in the affinity"] = f"{limits.cores()} of {os.cpu_count()}"
    for name in _LIMITING_VARIABLES:
        found[name] = os.environ.get(name, "not set")
    found["limit of BLAS and OpenMP"] = _number(limits.of_libraries())
    found["CPUs of control groups"] = _number(limits.cpu_quota())
    return found


def _number(limit):
    return "none" if limit == float("inf") else str(limit)


def _gpu():
    driver = device.open_driver()
    if driver is None:
        return {"NVIDIA driver": "none"}
    cuda = driver.cuda_version()
    supported = f"supports CUDA {cuda // 1000}.{cuda % 1000 // 10}" if cuda else ""
    found = {"NVIDIA driver": ", ".join(filter(None, [_driver_version(), supported]))}
    for i, model in enumerate(_gpu_models()):
        found[f"GPU {i} of the machine"] = model
    obstacle = device.obstacle(0)
    if obstacle is None:
        found["device='cuda'"] = "can be used"
    else:
        found["device='cuda'"] = f"{obstacle.reason}.\n{obstacle.remedy}"
    return found


def _driver_version():
    try:
        text = Path("/proc/driver/nvidia/version").read_text()
    except OSError:
        return "version unknown"
    match = re.search(r"\s(\d+\.\d[\d.]*)\s", text)
    return match[1] if match else "version unknown"


def _gpu_models():
    for path in sorted(glob.glob("/proc/driver/nvidia/gpus/*/information")):
        match = re.search(r"Model:\s*(.+)", Path(path).read_text())
        yield match[1].strip() if match else "unknown"


def _caches():
    from skmlp.compiler import cache_paths, shipped, target

    found = {name: os.environ.get(name, "not set") for name in _OWN_VARIABLES}
    found |= {name: os.environ[name] for name in _NUMBA_VARIABLES if name in os.environ}
    try:
        paths = cache_paths.paths()
    except (OSError, RuntimeError) as error:
        return {**found, "no folder": str(error)}
    if not paths:
        return {**found, "no folder": "the cache is turned off"}
    manifests, refused = shipped.manifests()
    for path in paths:
        lines = [folder_in_words(path)]
        for each in manifests:
            if each.folder == path:
                lines.append(f"filled by skmlp.precompile for {each.cpu}")
                obstacle = target.obstacle(each)
                if obstacle is not None:
                    lines[-1] += f": not used, it is for {obstacle}"
        if path in refused:
            lines.append(f"what it was filled for cannot be read: {refused[path]}")
        found[str(path)] = "\n".join(lines)
    return found


def kernels_in(folder):
    """Number and bytes of the kernels in a folder.

    Parameters
    ----------
    folder : pathlib.Path

    Returns
    -------
    tuple of 2 int

    Raises
    ------
    OSError
        If there is no such folder, or none that can be trusted.
    """
    from skmlp.compiler import kernel_folder

    sizes = []
    for name in kernel_folder.names(folder):
        # Another process may have removed it.
        try:
            sizes.append(os.stat(folder / name).st_size)
        except FileNotFoundError:
            continue
    return len(sizes), sum(sizes)


def folder_in_words(path):
    """What a folder of kernels holds, whether it is used, and if not, why.

    Parameters
    ----------
    path : pathlib.Path

    Returns
    -------
    str
    """
    try:
        n_kernels, n_bytes = kernels_in(path)
    except FileNotFoundError:
        return "does not exist; " + _why_not_made(path)
    except OSError as error:
        return f"not used: {error}"
    files = "1 file" if n_kernels == 1 else f"{n_kernels} files"
    return f"{files}, {n_bytes / 1e6:.1f} MB, {_why_not_written(path)}"


def _why_not_made(path):
    parent = next(each for each in path.parents if each.exists())
    if os.access(parent, os.W_OK | os.X_OK):
        return "made when the first kernel is compiled"
    return f"and cannot be made: {parent} {_why_not_written(parent)}"


def _why_not_written(path):
    """That this user can write a folder, or why not."""
    if os.access(path, os.W_OK | os.X_OK):
        return "can be written"
    if hasattr(os, "statvfs") and os.statvfs(path).f_flag & os.ST_RDONLY:
        return "cannot be written, the file system is read-only"
    status = path.stat()
    user = f", this process is user {os.geteuid()}" if hasattr(os, "geteuid") else ""
    return (
        f"cannot be written: it belongs to user {status.st_uid} and has the mode "
        f"{stat.S_IMODE(status.st_mode):04o}{user}"
    )
