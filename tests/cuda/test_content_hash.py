"""The content hash: by its definition, and different after every change."""

import itertools
import math

import numpy as np
import pytest
from scipy import sparse

from skmlp.backends.cuda.runtime import content_hash as module
from skmlp.backends.cuda.runtime.content_hash import cache_key, content_hash

_64_BITS = (1 << 64) - 1


def by_definition(content):
    """The three sums over some bytes, in Python's integers."""
    step, factor, flipped = map(
        int, (module._STEP, module._FACTOR, module._FLIPPED_BITS)
    )
    sum_0 = sum_1 = sum_2 = 0
    for i in range(len(content) // 8 + 1):
        word = int.from_bytes(content[8 * i : 8 * i + 8], "little")
        z = word ^ ((i + 1) * step & _64_BITS)
        z = (z ^ (z >> 32)) * factor & _64_BITS
        sum_0 += math.prod(divmod(z, 1 << 32))
        sum_1 += math.prod(divmod(z ^ flipped, 1 << 32))
        sum_2 += z
    return sum_0 & _64_BITS, sum_1 & _64_BITS, sum_2 & _64_BITS


def matrix(shape, dtype):
    return np.random.default_rng(4).normal(size=shape).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (3, 1), (7, 5), (100, 33)])
def test_the_definition(shape, dtype):
    x = 9 * matrix(shape, np.float64)
    x = x.astype(dtype)
    assert content_hash(x) == by_definition(x.tobytes())


@pytest.mark.parametrize("n_jobs", [1, 3])
@pytest.mark.parametrize("words", [1, 7, 256])
def test_it_depends_neither_on_tasks_nor_on_threads(monkeypatch, words, n_jobs):
    x = matrix((77, 13), np.float32)
    monkeypatch.setattr(module, "_TASK_WORDS", words)
    assert content_hash(x, n_jobs) == by_definition(x.tobytes())


def test_it_depends_neither_on_the_address_nor_on_the_writeable_flag():
    x = matrix(101, np.float32)
    moved = np.empty(102, np.float32)[1:]
    moved[:] = x
    moved.flags.writeable = False
    assert x.ctypes.data % 8 != moved.ctypes.data % 8
    assert content_hash(moved) == content_hash(x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_changed_bit_shows_in_all_sums(dtype):
    x = matrix((5, 3), dtype)
    before, content = content_hash(x), x.reshape(-1).view(np.uint8)
    for index, bit in itertools.product(range(content.size), range(8)):
        content[index] ^= 1 << bit
        for one, other in zip(content_hash(x), before, strict=True):
            assert one != other
        content[index] ^= 1 << bit
    assert content_hash(x) == before


def assert_all_differ(arrays):
    """By each of the two sums of products alone."""
    hashes = [content_hash(x)[:2] for x in arrays]
    for sums in zip(*hashes, strict=True):
        assert len(set(sums)) == len(hashes)


# The hardest arrays: almost all elements equal, all bits equal, or few bits set.
PLAIN = {
    "zeros": lambda n: np.zeros(n),
    "ones": lambda n: np.ones(n),
    "counted": lambda n: np.arange(n, dtype=float),
    "pixels": lambda n: np.random.default_rng(0).integers(0, 256, n).astype(float),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PLAIN)
def test_changes_of_two_elements_do_not_cancel(name, dtype):
    """Two signs flipped, a step up and a step down, and two values swapped."""

    def changed():
        yield PLAIN[name](40).astype(dtype)
        for i, j in itertools.combinations(range(40), 2):
            x = PLAIN[name](40).astype(dtype)
            x[[i, j]] *= -1
            if (x == 0).all():
                x[[i, j]] = -0.0
            yield x
            x = PLAIN[name](40).astype(dtype)
            x[i] += 1
            x[j] -= 1
            yield x
            x = PLAIN[name](40).astype(dtype)
            x[i], x[j] = 1000, 2000
            yield x

    unique = {x.tobytes(): x for x in changed()}
    assert len(unique) > 1500
    assert_all_differ(unique.values())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_swapped_rows_and_columns(dtype):
    x = matrix((24, 16), dtype)
    arrays = [x, -x, x * 2, x[::-1].copy(), x[:, ::-1].copy(), np.roll(x, 1)]
    for i, j in itertools.combinations(range(24), 2):
        order = np.arange(24)
        order[[i, j]] = j, i
        arrays.append(x[order])
    for i, j in itertools.combinations(range(16), 2):
        order = np.arange(16)
        order[[i, j]] = j, i
        arrays.append(x[:, order])
    assert_all_differ(arrays)


def test_arrays_that_differ_in_one_element_have_different_sums():
    x = np.zeros((100, 30), dtype=np.float32)
    arrays = [x]
    for index in range(0, x.size, 3):
        for value in (1.0, 2.0, -1.0):
            other = x.copy()
            other.flat[index] = value
            arrays.append(other)
    assert_all_differ(arrays)


def test_shapes_and_dtypes_have_different_keys():
    zeros = np.zeros(24)
    arrays = [zeros[:n].reshape(-1, k) for n in (12, 24) for k in (1, 2, 3)]
    arrays += [x.astype(np.float32) for x in arrays]
    assert len({cache_key(x) for x in arrays}) == len(arrays)
    assert cache_key(arrays[3].copy()) == cache_key(arrays[3])


def test_every_array_of_a_sparse_x_changes_the_key():
    x = sparse.csr_array(np.diag([1.0, 2.0, 3.0]))
    keys = {cache_key(x), cache_key(x.toarray())}
    for name, changed in [
        ("data", [1.0, 2.0, 4.0]),
        ("indices", [0, 2, 2]),
        ("indptr", [0, 2, 2, 3]),
    ]:
        other = x.copy()
        setattr(other, name, np.array(changed, dtype=getattr(x, name).dtype))
        keys.add(cache_key(other))
    assert len(keys) == 5
    assert cache_key(x.copy()) == cache_key(x)
