"""Kernels for GPUs as the compiler sees them, on machines without a GPU.

The compiler is NVIDIA's, half a gigabyte in the extra ``cu13``; without it these tests
are skipped, unless ``SKMLP_REQUIRE_NVVM`` is set, as it is in `.ci/run`.
"""

import numpy as np
import pytest
from cuda_compiler import (
    CAPABILITIES,
    double_precision,
    instructions,
    ptx,
    resources,
)
from numba import cuda, float32, types

VECTOR = types.float32[::1]


pytestmark = pytest.mark.usefixtures("nvvm")


def axpy(a, x, y):
    i = cuda.grid(1)
    if i < y.size:
        y[i] += a * x[i]


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_single_precision_is_seen_to_be_single(capability):
    text = ptx(axpy, (float32, VECTOR, VECTOR), capability)
    assert f".target sm_{capability[0]}{capability[1]}" in text
    assert instructions(text)["fma.rn.f32"] == 1
    assert double_precision(text) == []
    used = resources(text, capability)
    assert 8 <= used.registers <= 32
    assert used.spilled_bytes == used.stack_bytes == 0


def divide_by_an_integer(x, y):
    i = cuda.grid(1)
    y[i] = x[i] / y.size


def test_double_precision_is_found():
    text = ptx(divide_by_an_integer, (VECTOR, VECTOR))
    assert "cvt.f64.f32" in double_precision(text)


def sum_of_four_by_unsigned(x, y):
    U = np.uint64
    row = cuda.shared.array(1024, float32, alignment=16)
    i = U(cuda.threadIdx.x)
    row[i] = x[i]
    cuda.syncthreads()
    total = float32(0)
    for j in range(4):
        total += row[i * U(4) + U(j)]
    y[i] = total


def sum_of_four_by_signed(x, y):
    row = cuda.shared.array(1024, float32, alignment=16)
    i = cuda.threadIdx.x
    row[i] = x[i]
    cuda.syncthreads()
    total = float32(0)
    for j in range(4):
        total += row[i * 4 + j]
    y[i] = total


def test_wide_loads_need_unsigned_indices():
    wide = instructions(ptx(sum_of_four_by_unsigned, (VECTOR, VECTOR)))
    assert wide["ld.shared.v4.f32"] == 1
    assert wide["ld.shared.f32"] == 0
    narrow = instructions(ptx(sum_of_four_by_signed, (VECTOR, VECTOR)))
    assert narrow["ld.shared.v4.f32"] == 0
    assert narrow["ld.shared.f32"] == 4


def grid_barrier(x, y):
    i = cuda.grid(1)
    y[i] = x[i]
    cuda.cg.this_grid().sync()
    x[i] = y[i + 1]


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_barriers_of_a_grid_are_linked(capability):
    text = ptx(grid_barrier, (VECTOR, VECTOR), capability)
    assert resources(text, capability).registers > 0


def local_and_shared_memory(x, y):
    local = cuda.local.array(64, float32)
    row = cuda.shared.array(256, float32)
    i = cuda.threadIdx.x
    for j in range(64):
        local[j] = x[j * i]
    row[i] = local[i % 64]
    cuda.syncthreads()
    y[i] = row[255 - i]


def test_memory_of_a_kernel_is_counted():
    used = resources(ptx(local_and_shared_memory, (VECTOR, VECTOR)))
    assert used.stack_bytes == 256
    assert used.shared_bytes == 1024 + 1024


def kernel_of_many_values(n):
    """A kernel with n live values, in registers as far as those suffice."""
    loads = [f"    v{j} = x[{j} * i]" for j in range(n)]
    stores = [f"    y[{j} * i] = v{j}" for j in range(n)]
    head, barrier = ["def kernel(x, y, i):"], ["    cuda.syncthreads()"]
    scope = {"cuda": cuda}
    exec("\n".join(head + loads + barrier + stores), scope)
    return scope["kernel"]


def test_spilled_registers_are_counted():
    spilled = [
        resources(ptx(kernel_of_many_values(n), (VECTOR, VECTOR, types.int64)))
        for n in (40, 400)
    ]
    assert spilled[0].spilled_bytes == 0
    assert spilled[1].spilled_bytes >= 4 * (400 - 255)


def test_errors_of_the_linker_are_reported():
    text = ptx(grid_barrier, (VECTOR, VECTOR))
    with pytest.raises(RuntimeError, match="Undefined reference to 'unknownCGSync"):
        resources(text.replace("cudaCG", "unknownCG"))
