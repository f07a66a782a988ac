"""What NVIDIA's compiler generates for a CUDA kernel, inspected without a GPU.

The simulator runs kernels as Python and knows nothing of types. Here they are compiled
by NVVM to PTX, the assembly language of NVIDIA's virtual machine, and by nvJitLink to
machine code: for any device, on any machine that has the libraries of the extra
``cu13``. What to look for: instructions in double precision in a kernel of single
precision, registers spilled to memory, loads of 4 bytes where 16 would do.
"""

import contextlib
import functools
import re
from collections import Counter
from typing import NamedTuple

CAPABILITIES = [(7, 5), (8, 0), (9, 0)]


@functools.cache
def missing_libraries():
    """Names of NVIDIA's libraries that a compilation needs and that are missing."""
    try:
        from cuda import pathfinder
    except ImportError:
        return ("cuda.pathfinder",)
    missing = []
    for name in ("nvvm", "nvrtc", "nvJitLink"):
        try:
            pathfinder.load_nvidia_dynamic_lib(name)
        except pathfinder.DynamicLibNotFoundError:
            missing.append(name)
    return tuple(missing)


@contextlib.contextmanager
def _device_of(capability):
    """Context with a current device, for which device functions are compiled."""
    from numba.cuda import dispatcher

    class Device:
        compute_capability = capability

    real = dispatcher.get_current_device
    dispatcher.get_current_device = lambda: Device
    try:
        yield
    finally:
        dispatcher.get_current_device = real


def ptx(function, signature, capability=(9, 0), **options):
    """Compile a kernel to PTX.

    Parameters
    ----------
    function : callable
        The plain function, not the result of ``cuda.jit``.
    signature : tuple of numba types
    capability : tuple of int, default=(9, 0)
        Compute capability of the device.
    **options
        Those of ``numba.cuda.compile_ptx``: fastmath, opt and so on.

    Returns
    -------
    str
    """
    from numba import cuda

    with _device_of(capability):
        return cuda.compile_ptx(function, signature, cc=capability, **options)[0]


def instructions(text):
    """How often each instruction occurs in PTX, by its name with all its suffixes."""
    return Counter(re.findall(r"^\s+(?:@!?%\w+\s+)?([a-z]\w*(?:\.\w+)+)", text, re.M))


def double_precision(text):
    """The instructions of PTX that work on float64."""
    return [name for name in instructions(text) if re.search(r"\.f64\b", name)]


class Resources(NamedTuple):
    """What a thread or a block of a compiled kernel uses."""

    registers: int
    stack_bytes: int
    spilled_bytes: int
    shared_bytes: int


def resources(text, capability=(9, 0)):
    """Link PTX to machine code, for how much of a device it uses.

    Parameters
    ----------
    text : str
        PTX with one kernel; barriers of a grid are linked from CUDA's library.
    capability : tuple of int, default=(9, 0)

    Returns
    -------
    Resources
        Shared memory includes the 1024 bytes that the system takes from devices of
        capability 9.0.

    Raises
    ------
    RuntimeError
        With the linker's message, if there is an error.
    """
    log = _linked(text, capability)
    name = re.search(r"\.entry (\w+)\(", text).group(1)
    compiled = log[log.index(f"Compiling entry function '{name}'") :]
    linked = log[log.index(f"Function properties for '{name}'") :]
    return Resources(
        _number(r"used (\d+) registers", linked),
        _number(r"(\d+) bytes stack frame", compiled),
        _number(r"(\d+) bytes spill stores", compiled),
        _number(r"(\d+) bytes smem", linked),
    )


def _number(pattern, log):
    return int(re.search(pattern, log).group(1))


def _linked(text, capability):
    """Log of a link for a device."""
    from cuda import pathfinder
    from cuda.bindings import nvjitlink

    options = [f"-arch=sm_{capability[0]}{capability[1]}", "-verbose"]
    linker = nvjitlink.create(len(options), options)
    try:
        data = text.encode() + b"\0"
        nvjitlink.add_data(linker, nvjitlink.InputType.PTX, data, len(data), "kernel")
        if "cudaCG" in text:
            library = pathfinder.find_static_lib("cudadevrt")
            nvjitlink.add_file(linker, nvjitlink.InputType.LIBRARY, library)
        try:
            nvjitlink.complete(linker)
        except nvjitlink.nvJitLinkError as error:
            size, read = nvjitlink.get_error_log_size, nvjitlink.get_error_log
            raise RuntimeError(_text_of(linker, size, read)) from error
        size, read = nvjitlink.get_info_log_size, nvjitlink.get_info_log
        return _text_of(linker, size, read)
    finally:
        nvjitlink.destroy(linker)


def _text_of(linker, size, read):
    buffer = bytearray(size(linker))
    read(linker, buffer)
    return buffer.decode().rstrip("\0")
