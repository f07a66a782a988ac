"""Products of whole matrices: by NVIDIA's cuBLAS, or by a kernel of our own tiles.

Both have one method, ``multiply(sizes, a, b, out)``, which writes the product of two
`Matrix` into a third; `sizes` are its rows and columns and the inner dimension. They
work on one stream and without a word to the host, so that a step can be recorded.
"""

import functools
from typing import NamedTuple

from numba import cuda

from skmlp.backends.cuda.kernels import gemm
from skmlp.backends.cuda.runtime import cublas
from skmlp.backends.cuda.runtime.jit import SIMULATED, kernel, scalar_type
from skmlp.backends.cuda.runtime.launch import configured


class Matrix(NamedTuple):
    """A matrix that lies row by row in a vector of the device.

    Attributes
    ----------
    array : device array
    start : int
        Place of its first element.
    columns : int
        Elements of a row, as it lies there.
    transposed : bool
        Whether the factor is the transpose of what lies there.
    """

    array: object
    start: int
    columns: int
    transposed: bool = False


@functools.lru_cache(maxsize=64)
def multiplying(tile, dtype):
    """The kernel of a product.

    Its arguments: two `tiles.Factor`, the vector of the result and where that begins,
    and its rows, its columns and the inner dimension.
    """
    scalar, buffer = scalar_type(dtype), tile.buffer
    multiply, total = gemm.product(tile, dtype), gemm.sum_of(tile)
    count, corner_of_item = gemm.count_of(tile), gemm.corner_of(tile)
    halvings_of, own_of_thread = gemm.halvings_of(tile), gemm.own_of(tile)

    def run(a, b, out, start, sizes):
        strips = cuda.shared.array(buffer, scalar, alignment=16)
        rows, columns = sizes[0], sizes[1]
        halvings = halvings_of(rows, columns)
        n_items = count(rows, columns, halvings)
        for item in range(cuda.blockIdx.x, n_items, cuda.gridDim.x):
            corner = corner_of_item(item, columns, halvings)
            multiply(strips, corner, sizes, (a, b), halvings)
            own = own_of_thread(corner, rows, columns, halvings)
            first, column, last, apart = own
            for row in range(first, last, apart):
                found = total(strips, row - corner[0], halvings)
                out[start + row * columns + column] = found

    return kernel(run, tile, dtype)


class TileProducts:
    """Products by our own kernel.

    Parameters
    ----------
    tile : tiles.Tile
    dtype : numpy dtype
    order : device array of int64
        Any one; it is not read.
    stream : stream of numba.cuda
    """

    def __init__(self, tile, dtype, order, stream):
        self._tile = tile
        self._kernel = multiplying(tile, dtype)
        self._order = order
        self._stream = stream

    def _factor(self, matrix, counts_rows):
        """A factor whose rows, as it lies there, the result's index counts, or not."""
        step_i, step_k = (matrix.columns, 1) if counts_rows else (1, matrix.columns)
        return gemm.Factor(
            *(matrix.array, matrix.start, step_i, step_k, int(counts_rows)),
            *(self._order, 0, 0),
        )

    def multiply(self, sizes, a, b, out):
        """Write the product of two matrices into a third."""
        factors = self._factor(a, not a.transposed), self._factor(b, b.transposed)
        blocks = self._tile.number_for(*sizes[:2])
        configured(self._kernel, blocks, self._tile.threads, self._stream)(
            *factors, out.array, out.start, sizes
        )

    def close(self):
        """Nothing to give back."""


def choose(spec, order, stream, tf32):
    """What multiplies here.

    Parameters
    ----------
    spec : Spec
    order : device array of int64
    stream : stream of numba.cuda
    tf32 : bool
        Whether factors are rounded to the 19 bits of TensorFloat-32.

    Returns
    -------
    TileProducts or cublas.Products

    Raises
    ------
    ImportError
        If there is no cuBLAS and only it can do what is asked.
    """
    if SIMULATED or not (tf32 or cublas.is_installed()):
        return TileProducts(spec.tile, spec.dtype, order, stream)
    return cublas.Products(cublas.load(), spec.dtype, int(stream), tf32)
