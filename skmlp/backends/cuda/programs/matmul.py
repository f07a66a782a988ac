"""Matrix products (GEMM) of the per-operation program: cuBLAS or our own kernel.

Both have one method, ``multiply(sizes, a, b, out)``, which writes the product of two
`Matrix` into a third; `sizes` are its rows and columns and the inner dimension. They
work on one stream and never synchronize with the host, so a CUDA graph can capture
them.
"""

import functools
from typing import NamedTuple

from numba import cuda

from skmlp.backends.cuda.kernels import gemm
from skmlp.backends.cuda.kernels import tile as tiles
from skmlp.backends.cuda.runtime import cublas
from skmlp.backends.cuda.runtime.jit import kernel, scalar_type
from skmlp.backends.cuda.runtime.launch import configured
from skmlp.backends.cuda.runtime.simulator import SIMULATED


class Matrix(NamedTuple):
    """A row-major matrix in a vector of the device.

    Attributes
    ----------
    array : device array
    start : int
        Offset of its first element.
    columns : int
        Elements of a row in memory.
    transposed : bool
        Whether the factor is the transpose of what is in memory.
    """

    array: object
    start: int
    columns: int
    transposed: bool = False


@functools.lru_cache(maxsize=64)
def multiplying(tile, dtype):
    """The kernel of a product.

    Its arguments: two `gemm.Operand`, the vector of the result and the offset there,
    and its rows, its columns and the inner dimension.
    """
    scalar, smem_size = scalar_type(dtype), tile.smem_size
    multiply, sum_k_slices = gemm.matmul_tile(tile, dtype), tiles.sum_k_slices_of(tile)
    n_tiles_of_result = tiles.n_tiles_of(tile)
    origin_of_item = tiles.tile_origin_of(tile)
    split_level_of_result = tiles.split_level_of(tile)
    output_slice_of_thread = tiles.output_slice_of(tile)

    def run(a, b, out, start, sizes):
        smem = cuda.shared.array(smem_size, scalar, alignment=16)
        rows, columns, _ = sizes
        split_level = split_level_of_result(rows, columns)
        n_tiles = n_tiles_of_result(rows, columns, split_level)
        for item in range(cuda.blockIdx.x, n_tiles, cuda.gridDim.x):
            origin = origin_of_item(item, columns, split_level)
            multiply(smem, origin, sizes, (a, b), split_level)
            mine = output_slice_of_thread(origin, rows, columns, split_level)
            for row in range(mine.first_row, mine.end_row, mine.row_stride):
                element = sum_k_slices(smem, row - origin.row, split_level)
                out[start + row * columns + mine.column] = element

    return kernel(run, tile, dtype)


class TileProducts:
    """Products by our own kernel.

    Parameters
    ----------
    tile : Tile
    dtype : numpy dtype
    row_ids : device array of int64
        Any one; it is not read.
    stream : stream of numba.cuda
    """

    def __init__(self, tile, dtype, row_ids, stream):
        self._tile = tile
        self._kernel = multiplying(tile, dtype)
        self._row_ids = row_ids
        self._stream = stream

    def _operand(self, matrix, i_counts_rows):
        """A matrix as an operand; i, or else k, counts its rows in memory."""
        strides = (matrix.columns, 1) if i_counts_rows else (1, matrix.columns)
        return gemm.Operand(
            array=matrix.array,
            offset=matrix.start,
            stride_i=strides[0],
            stride_k=strides[1],
            k_is_contiguous=int(i_counts_rows),
            row_ids=self._row_ids,
            first_row=0,
            gathered=0,
        )

    def multiply(self, sizes, a, b, out):
        """Write the product of two matrices into a third."""
        operands = self._operand(a, not a.transposed), self._operand(b, b.transposed)
        blocks = self._tile.n_tiles(*sizes[:2])
        configured(self._kernel, blocks, self._tile.threads, self._stream)(
            *operands, out.array, out.start, sizes
        )

    def close(self):
        """Nothing to do: it holds no handles."""


def choose(spec, row_ids, stream, tf32):
    """Our own products or cuBLAS's.

    Parameters
    ----------
    spec : Spec
    row_ids : device array of int64
    stream : stream of numba.cuda
    tf32 : bool
        Whether factors are rounded to the 19 bits of TensorFloat-32.

    Returns
    -------
    TileProducts or cublas.Products

    Raises
    ------
    ImportError
        If `tf32` is asked for, and there is no cuBLAS.
    """
    if SIMULATED or not (tf32 or cublas.is_installed()):
        return TileProducts(spec.tile, spec.dtype, row_ids, stream)
    return cublas.Products(cublas.load(), spec.dtype, int(stream), tf32)
