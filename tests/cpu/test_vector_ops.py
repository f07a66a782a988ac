"""Copies of rows and sums of columns, for every number of vectors and of lanes."""

import numpy as np
import pytest
from numba import njit
from numpy.testing import assert_allclose, assert_array_equal

from skmlp.backends.cpu.gemm.simd import VECTOR_BYTES
from skmlp.backends.cpu.gemm.vector_ops import copy_row, sum_columns
from skmlp.backends.cpu.intrinsics import pointer

DTYPES = ["float32", "float64"]


@njit
def sums(matrix, out):
    sum_columns(matrix, out)


@njit
def copy(source, target, first, size):
    copy_row(pointer(source, first), pointer(target, first), size)


def columns_to_try(dtype):
    """One to more than the vectors of a wide pass, and one more and less."""
    lanes = VECTOR_BYTES // np.dtype(dtype).itemsize
    around = [lanes * v + d for v in (1, 2, 4, 5, 9) for d in (-1, 0, 1)]
    return sorted({1, 2, 3, *around})


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7, 8, 9, 100])
def test_sums_of_columns(dtype, rows):
    for columns in columns_to_try(dtype):
        matrix = np.random.default_rng(0).normal(size=(rows, columns)).astype(dtype)
        out = np.full(columns + 3, np.nan, dtype=dtype)
        out[columns:] = 7
        sums(matrix, out[:columns])
        expected = matrix.sum(axis=0, dtype="float64")
        assert_allclose(
            out[:columns], expected, atol=1e-13 if dtype == "float64" else 1e-5
        )
        assert_array_equal(out[columns:], 7)


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_of_columns_propagate_nan(dtype):
    for columns in columns_to_try(dtype):
        matrix = np.ones((11, columns), dtype=dtype)
        matrix[9, columns - 1] = np.nan
        out = np.zeros(columns, dtype=dtype)
        sums(matrix, out)
        assert_array_equal(np.flatnonzero(np.isnan(out)), columns - 1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_copies_of_rows_leave_other_elements(dtype):
    for columns in columns_to_try(dtype):
        source = np.random.default_rng(0).normal(size=columns + 6).astype(dtype)
        target = np.full(columns + 6, 7, dtype=dtype)
        copy(source, target, 3, columns)
        expected = np.full(columns + 6, 7, dtype=dtype)
        expected[3 : 3 + columns] = source[3 : 3 + columns]
        assert_array_equal(target, expected)
