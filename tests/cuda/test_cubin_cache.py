"""The disk cache of GPU kernels, without a GPU.

Kernels are compiled for a fake device, which records the machine code that is loaded.
numba-cuda's dispatcher does the rest as it would on a GPU.
"""

import functools
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from numba import cuda, types
from rule_runners import row_of
from test_kernels import BASE

from skmlp import Activation
from skmlp.backends.cuda.kernels import train
from skmlp.backends.cuda.runtime import cubin_cache, jit
from skmlp.compiler import disk_cache, fallback, kernel_folder
from skmlp.exceptions import KernelCacheWarning
from skmlp.rules.activations import ACTIVATIONS

SPEC = BASE._replace(optimizer=None, loss=row_of("squared_error-identity"))
TANH = ACTIVATIONS["tanh"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("SKMLP_CACHE_DIR", str(tmp_path / "kernels"))
    disk_cache.cache_folder.cache_clear()
    yield disk_cache.cache_folder()
    monkeypatch.undo()
    disk_cache.cache_folder.cache_clear()


class Device:
    """A device of a compute capability; it records modules and runs nothing."""

    id = 0

    def __init__(self, capability):
        self.compute_capability = capability
        self.device = self
        self.images = []
        self.fails = False

    def create_module_image(self, image, setup, teardown):
        if self.fails:
            raise RuntimeError("no kernel image is available for execution")
        self.images.append(bytes(image.code))
        module = SimpleNamespace(initialized=True)
        return SimpleNamespace(
            get_function=lambda name: SimpleNamespace(name=name, module=module)
        )


@pytest.fixture
def device(nvvm, monkeypatch):
    """``device(capability)``: makes a fake device the current one."""
    return lambda capability=(9, 0): pretend(Device(capability), monkeypatch.setattr)


def pretend(device, replace):
    """Make a fake device numba-cuda's current one."""
    from numba.cuda import codegen, dispatcher
    from numba.cuda.cudadrv import devices

    replace(dispatcher, "get_current_device", lambda: device)
    replace(devices, "get_context", lambda: device)
    replace(codegen.runtime.runtime, "get_version", lambda: (13, 0))
    return device


def kernel(x):
    i = cuda.grid(1)
    x[i] = i
    cuda.cg.this_grid().sync()
    x[i] += x[0]


def is_read(dispatcher, signature):
    """Compile a kernel; whether it was read from disk."""
    dispatcher.compile(signature)
    stats = dispatcher.stats
    assert sum(stats.cache_hits.values()) + sum(stats.cache_misses.values()) == 1
    return bool(stats.cache_hits)


def compiled(*made_for, dtype=types.float32):
    """Compile a kernel as in a new process; whether it was read from disk."""
    return is_read(jit.kernel(kernel, *made_for or (SPEC, TANH)), (dtype[::1],))


def test_a_second_process_reads_the_same_machine_code(folder, device):
    one = device()
    assert not compiled()
    (path,) = folder.iterdir()
    assert path.name.startswith("kernel-")
    assert path.stat().st_mode & 0o077 == 0
    assert compiled()
    assert [path] == list(folder.iterdir())
    assert len(one.images) == 2
    assert one.images[0] == one.images[1]


def test_another_device_rule_or_type_is_another_file(folder, device):
    device((9, 0))
    assert not compiled()
    assert not compiled(SPEC, ACTIVATIONS["identity"])
    assert not compiled(SPEC._replace(loss=row_of("huber-identity")), TANH)
    assert not compiled(dtype=types.float64)
    device((8, 0))
    assert not compiled()
    assert len(list(folder.iterdir())) == 5
    assert compiled()


PROCESS = """
import hashlib
import numpy as np
from test_cubin_cache import SPEC, TANH, Device, is_read, pretend
from kernel_types import evaluating_signature
from skmlp.backends.cuda.kernels import predict
device = pretend(Device((9, 0)), setattr)
kernel = predict.evaluating(SPEC, TANH)
from_disk = is_read(kernel, evaluating_signature(np.dtype(np.float32)))
print(from_disk, hashlib.sha256(device.images[0]).hexdigest())
"""


def in_a_process(script, **variables):
    """The words that a script prints in another process."""
    paths = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": paths, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_a_real_kernel_in_two_processes(folder, device):
    first, again = in_a_process(PROCESS), in_a_process(PROCESS, PYTHONHASHSEED="1")
    assert first[0] == "False"
    assert again == ["True", first[1]]


def test_a_rule_of_the_user_is_not_written(folder, device):
    device()
    users = Activation("users", lambda z: z * z, lambda z: z + z, slope_of="input")
    assert not compiled(SPEC, users)
    assert not compiled(SPEC, users)
    assert list(folder.iterdir()) == []


def test_a_kernel_without_a_key_is_not_written():
    cache = jit.kernel(kernel)._cache
    assert not isinstance(cache, disk_cache.KernelCache)


def test_functions_of_others_have_no_key():
    def local(z):
        return z

    unnamed = eval("lambda z: z", {})
    unnamed.__module__ = None
    for function in (local, lambda z: z, unnamed, functools.partial(local), np.sin):
        row = TANH._replace(value=function)
        assert cubin_cache.key_of("training", BASE._replace(activations=(row,))) is None


def damage_end(content):
    return content[:-10]


def damage_byte(content):
    return content[:500] + bytes([content[500] ^ 1]) + content[501:]


@pytest.mark.parametrize("damage", [damage_end, damage_byte, lambda content: b""])
def test_a_damaged_file_is_compiled_again(folder, device, damage):
    device()
    compiled()
    (path,) = folder.iterdir()
    sound = path.read_bytes()
    path.write_bytes(damage(sound))
    assert not compiled()
    assert compiled()


def test_code_that_the_device_rejects_is_compiled_again(folder, device, monkeypatch):
    one = device()
    compiled()
    unpacked = cubin_cache.CubinCache._unpacked

    def failing(*arguments):
        one.fails = True
        try:
            return unpacked(*arguments)
        finally:
            one.fails = False

    monkeypatch.setattr(cubin_cache.CubinCache, "_unpacked", failing)
    assert not compiled()
    assert len(one.images) == 2


def test_a_kernel_that_cannot_be_written_runs(folder, device, monkeypatch):
    device()

    def full(*arguments, **options):
        raise OSError("No space left on device")

    monkeypatch.setattr(kernel_folder.os, "replace", full)
    monkeypatch.setattr(fallback, "_WARNED", {})
    with pytest.warns(KernelCacheWarning, match="No space left"):
        assert not compiled()
    assert list(folder.iterdir()) == []


def test_no_folder_no_files(device, monkeypatch, tmp_path):
    monkeypatch.setenv("SKMLP_CACHE_DIR", "")
    disk_cache.cache_folder.cache_clear()
    device()
    assert not compiled()
    assert not compiled()
    monkeypatch.undo()
    disk_cache.cache_folder.cache_clear()


def test_different_specs_have_different_keys():
    specs = [
        BASE,
        BASE._replace(dtype=np.dtype(np.float64)),
        BASE._replace(tile=BASE.tile._replace(thread_tile=8)),
        BASE._replace(activations=(TANH,)),
        BASE._replace(activations=(TANH, ACTIVATIONS["gelu"])),
        BASE._replace(activations=(ACTIVATIONS["gelu"], TANH)),
        BASE._replace(loss=row_of("huber-identity")),
        BASE._replace(loss=row_of("squared_error-relu")),
        BASE._replace(loss=row_of("squared_error-identity")),
        *(
            BASE._replace(**{name: True})
            for name in ("softmax", "sparse", "has_dropout")
        ),
    ]
    keys = {cubin_cache.key_of("training", spec) for spec in specs}
    keys.add(cubin_cache.key_of("differentiating", BASE))
    assert len(keys) == len(specs) + 1
    assert None not in keys
    again = cubin_cache.key_of("training", BASE._replace())
    assert again in keys


def test_kernels_are_cached_unless_they_are_simulated(monkeypatch):
    train.training.cache_clear()
    assert isinstance(train.training(BASE)._cache, cubin_cache.CubinCache)
    monkeypatch.setattr(jit, "SIMULATED", True)
    train.training.cache_clear()
    assert not isinstance(train.training(BASE)._cache, disk_cache.KernelCache)
    train.training.cache_clear()


KEY = """
from skmlp.backends.cuda.runtime import cubin_cache
from test_kernels import BASE
print(cubin_cache.key_of("training", BASE))
"""


def test_keys_are_the_same_in_every_process():
    words = in_a_process(KEY, PYTHONHASHSEED="1")
    assert " ".join(words) == cubin_cache.key_of("training", BASE)
