"""Products by tiles, however often these are halved, against NumPy's.

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
TILE = plan.choose_tile(plan.few_for(n_processors()))
ORIENTATIONS = [(False, False), (False, True), (True, False), (True, True)]


def sizes_by_halvings():
    """Rows and columns of results, those of a tile halved n times at n."""
    width, few = TILE.width, TILE.few
    return [
        [(width, (few + 1) * width), ((few + 1) * width + 1, width - 1)],
        [(few * width, width), (width - 1, few * width - 1)],
        [(1, 1), (width // 4, width // 4 + 1), (width // 2, 1)],
    ]


def multiplied(rows, columns, inner, orientation=(False, False)):
    """A product by tiles, and by NumPy."""
    rng = np.random.default_rng(rows + columns + inner)
    a, b = rng.normal(size=(rows, inner)), rng.normal(size=(inner, columns))
    given = [
        x.T if turned else x for x, turned in zip((a, b), orientation, strict=True)
    ]
    matrices = [
        Matrix(upload(np.append(7.0, x)), 1, x.shape[1], turned)
        for x, turned in zip(given, orientation, strict=True)
    ]
    out = upload(np.full(rows * columns + 1, np.nan))
    order = upload(np.zeros(0, dtype=np.int64))
    products = TileProducts(TILE, FLOAT64, order, cuda.default_stream())
    products.multiply((rows, columns, inner), *matrices, Matrix(out, 0, columns))
    found = download(out)
    assert np.isnan(found[-1])
    return found[:-1].reshape(rows, columns), a @ b


@pytest.mark.parametrize("halvings", range(3))
def test_sizes_are_those_of_tiles_that_are_halved(halvings):
    for rows, columns in sizes_by_halvings()[halvings]:
        assert TILE.halvings(rows, columns) == halvings


@pytest.mark.usefixtures("any_order")
@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("halvings", range(3))
def test_products(halvings, orientation):
    strip = TILE.depth << halvings
    for rows, columns in sizes_by_halvings()[halvings]:
        for inner in (1, strip - 1, strip, 2 * strip + 1):
            found, expected = multiplied(rows, columns, inner, orientation)
            assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rows", range(1, TILE.width + 2))
def test_what_is_no_number_stays_in_its_row(rows):
    rng = np.random.default_rng(rows)
    a, b = rng.normal(size=(rows, 5)), rng.normal(size=(5, 3))
    a[rows // 2, 2] = np.nan
    out, order = upload(np.zeros(rows * 3)), upload(np.zeros(0, dtype=np.int64))
    products = TileProducts(TILE, FLOAT64, order, cuda.default_stream())
    given = Matrix(upload(a), 0, 5), Matrix(upload(b), 0, 3)
    products.multiply((rows, 3, 5), *given, Matrix(out, 0, 3))
    found = download(out).reshape(rows, 3)
    assert_array_equal(np.isnan(found).all(axis=1), np.arange(rows) == rows // 2)
    assert_array_equal(np.isnan(found).any(axis=1), np.arange(rows) == rows // 2)
