"""Structs passed by pointer: packed structs, nested ones, and the fallback."""

import warnings
from typing import NamedTuple

import numba
import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skmlp import MLPClassifier
from skmlp.backends.cpu import binding
from skmlp.compiler import fallback, jit, struct_pointer
from skmlp.compiler.struct_pointer import PackedStruct
from skmlp.exceptions import CompilerFallbackWarning


class Inner(NamedTuple):
    matrix: np.ndarray
    index: int


class Outer(NamedTuple):
    scale: float
    inner: object
    vector: np.ndarray
    pair: tuple
    bits: np.ndarray
    count: int


class Uniform(NamedTuple):
    first: int
    second: int


@jit.kernel
def read(outer, uniform, out):
    inner = outer.inner
    first, second = outer.pair
    out[0] = outer.scale
    out[1] = inner.matrix[1, inner.index]
    out[2] = outer.vector[outer.vector.shape[0] - 1]
    out[3] = first
    out[4] = second
    out[5] = outer.bits[1]
    out[6] = outer.count
    out[7] = uniform.first
    out[8] = uniform.second
    inner.matrix[0, 0] = 9.0


EXPECTED = [0.5, 5.0, 3.0, 4.0, 0.25, 7.0, 2**40, 11.0, -12.0]


def round_trip():
    """What a kernel reads from structs of every type of field, and what it wrote."""
    matrix = np.arange(6.0).reshape(2, 3)
    inner = PackedStruct(Inner(matrix=matrix, index=2))
    outer = PackedStruct(
        Outer(
            scale=0.5,
            inner=inner,
            vector=np.array([1.0, 2.0, 3.0], dtype=np.float32),
            pair=(4, 0.25),
            bits=np.array([6, 7], dtype=np.uint32),
            count=2**40,
        )
    )
    uniform = PackedStruct(Uniform(first=11, second=-12))
    out = np.zeros(len(EXPECTED))
    read(outer, uniform, out)
    return out, matrix[0, 0], inner._numba_type_.source


@pytest.fixture
def no_packing(monkeypatch):
    """A Numba whose layout of arrays has changed."""
    fields = ("data", *struct_pointer._ARRAY_FIELDS)
    monkeypatch.setattr(struct_pointer, "_ARRAY_FIELDS", fields)
    monkeypatch.setattr(struct_pointer, "_POINTER_TYPES", {})
    monkeypatch.setattr(fallback, "_WARNED", {})
    binding.prediction_net.cache_clear()
    yield
    binding.prediction_net.cache_clear()


def test_kernels_read_every_type_of_field():
    out, written, source = round_trip()
    assert source == "packed"
    assert_array_equal(out, EXPECTED)
    assert written == 9.0


def test_kernels_read_the_same_without_packing(no_packing):
    with pytest.warns(CompilerFallbackWarning) as caught:
        out, written, source = round_trip()
    assert source == "unpacked"
    assert_array_equal(out, EXPECTED)
    assert written == 9.0
    assert len(caught) == 1
    assert numba.__version__ in str(caught[0].message)


def fitted_bits(dtype, **settings):
    x = np.random.default_rng(0).normal(size=(90, 5))
    estimator = MLPClassifier(
        (9, 4), batch_size=20, max_iter=3, random_state=0, dtype=dtype, **settings
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimator.fit(x, x[:, 0] > 0)
    arrays = [*estimator.coefs_, estimator.predict_proba(x)]
    return b"".join(array.tobytes() for array in arrays)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{}, {"solver": "lbfgs"}, {"normalization": "batch"}], ids=str
)
def test_fits_are_the_same_without_packing(request, settings):
    expected = fitted_bits("float64", **settings)
    request.getfixturevalue("no_packing")
    assert fitted_bits("float64", **settings) == expected
    assert {pointer.source for pointer in struct_pointer._POINTER_TYPES.values()} == {
        "unpacked"
    }


def test_a_field_of_four_bytes_is_not_packed(monkeypatch):
    """Words have eight bytes: the check finds what would be read from a wrong one."""
    monkeypatch.setattr(fallback, "_WARNED", {})
    with pytest.warns(CompilerFallbackWarning, match="cannot be packed"):
        narrow = PackedStruct(Uniform(first=np.float32(1.5), second=2))
    assert narrow._numba_type_.source == "unpacked"
