"""Tiled matrix products (GEMM), at every split level, against NumPy's.

A result has one tile or several, whole or cut off; the inner dimension ends before, at
and after the end of a strip.
"""

import numpy as np
import pytest
from numba import cuda
from numpy.testing import assert_allclose, assert_array_equal

from skmlp.backends.cuda import plan
from skmlp.backends.cuda.binding import n_processors
from skmlp.backends.cuda.programs.matmul import Matrix, TileProducts
from skmlp.backends.cuda.runtime.memory import download, upload

FLOAT64 = np.dtype(np.float64)
TILE = plan.choose_tile(plan.split_threshold_for(n_processors()))
ORIENTATIONS = [(False, False), (False, True), (True, False), (True, True)]


def sizes_by_split_level():
    """Rows and columns of results, by their split level."""
    width, threshold = TILE.width, TILE.split_threshold
    return [
        [(width, (threshold + 1) * width), ((threshold + 1) * width + 1, width - 1)],
        [(threshold * width, width), (width - 1, threshold * width - 1)],
        [(1, 1), (width // 4, width // 4 + 1), (width // 2, 1)],
    ]


def multiplied(rows, columns, inner, orientation=(False, False)):
    """A product by tiles, and by NumPy."""
    rng = np.random.default_rng(rows + columns + inner)
    a, b = rng.normal(size=(rows, inner)), rng.normal(size=(inner, columns))
    factors = [x.T if flip else x for x, flip in zip((a, b), orientation, strict=True)]
    matrices = [
        Matrix(upload(np.append(7.0, x)), 1, x.shape[1], flip)
        for x, flip in zip(factors, orientation, strict=True)
    ]
    out = upload(np.full(rows * columns + 1, np.nan))
    row_ids = upload(np.zeros(0, dtype=np.int64))
    products = TileProducts(TILE, FLOAT64, row_ids, cuda.default_stream())
    products.multiply((rows, columns, inner), *matrices, Matrix(out, 0, columns))
    result = download(out)
    assert np.isnan(result[-1])
    return result[:-1].reshape(rows, columns), a @ b


@pytest.mark.parametrize("split_level", range(3))
def test_sizes_have_their_split_level(split_level):
    for rows, columns in sizes_by_split_level()[split_level]:
        assert TILE.split_level(rows, columns) == split_level


@pytest.mark.usefixtures("any_order")
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("split_level", range(3))
def test_products(split_level, orientation):
    strip = TILE.tile_k << split_level
    for rows, columns in sizes_by_split_level()[split_level]:
        for inner in (1, strip - 1, strip, 2 * strip + 1):
            result, expected = multiplied(rows, columns, inner, orientation)
            assert_allclose(result, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rows", range(1, TILE.width + 2))
def test_nan_stays_in_its_row(rows):
    rng = np.random.default_rng(rows)
    a, b = rng.normal(size=(rows, 5)), rng.normal(size=(5, 3))
    a[rows // 2, 2] = np.nan
    out, row_ids = upload(np.zeros(rows * 3)), upload(np.zeros(0, dtype=np.int64))
    products = TileProducts(TILE, FLOAT64, row_ids, cuda.default_stream())
    factors = Matrix(upload(a), 0, 5), Matrix(upload(b), 0, 3)
    products.multiply((rows, 3, 5), *factors, Matrix(out, 0, 3))
    is_nan = np.isnan(download(out).reshape(rows, 3))
    assert_array_equal(is_nan.all(axis=1), np.arange(rows) == rows // 2)
    assert_array_equal(is_nan.any(axis=1), np.arange(rows) == rows // 2)
