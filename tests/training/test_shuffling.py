"""The compiled shuffle beside NumPy's: the same orders, and the same numbers after."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from skmlp.training import shuffling

# Around the ends of masks of bits, and of the generator's 624 words.
SIZES = [0, 1, 2, 3, 4, 5, 255, 256, 257, 623, 624, 625, 5000]


def shuffled_by_numpy_and_here(n_rows, expected, got):
    """Two orders, each shuffled three times from the order before."""
    orders = np.arange(n_rows), np.arange(n_rows)
    for _ in range(3):
        expected.shuffle(orders[0])
        shuffling.shuffle(got, orders[1])
    return orders


@pytest.mark.parametrize("taken", [0, 1, 623, 624])
@pytest.mark.parametrize("n_rows", SIZES)
def test_orders_and_state_are_those_of_numpy(n_rows, taken):
    generators = np.random.RandomState(7), np.random.RandomState(7)
    for generator in generators:
        generator.randint(1 << 32, size=taken, dtype=np.uint32)
    assert_array_equal(*shuffled_by_numpy_and_here(n_rows, *generators))
    assert_array_equal(*(generator.random_sample(700) for generator in generators))


def test_numpy_shuffles_with_other_generators():
    kinds = (np.random.RandomState(np.random.PCG64(3)) for _ in range(2))
    assert_array_equal(*shuffled_by_numpy_and_here(100, *kinds))


def test_numpy_shuffles_where_the_state_lies_otherwise(monkeypatch):
    words, position = np.zeros(624, np.uint32), np.zeros(1, np.int32)
    monkeypatch.setattr(shuffling, "_state_of", lambda source: (words, position))
    shuffling._layout_is_as_expected.cache_clear()
    try:
        assert not shuffling._layout_is_as_expected()
        kinds = (np.random.RandomState(3) for _ in range(2))
        assert_array_equal(*shuffled_by_numpy_and_here(100, *kinds))
    finally:
        shuffling._layout_is_as_expected.cache_clear()


def test_numpy_shuffles_where_the_state_cannot_be_read(monkeypatch):
    def fail(source):
        raise AttributeError("state_address")

    monkeypatch.setattr(shuffling, "_state_of", fail)
    shuffling._layout_is_as_expected.cache_clear()
    try:
        kinds = (np.random.RandomState(3) for _ in range(2))
        assert_array_equal(*shuffled_by_numpy_and_here(100, *kinds))
    finally:
        shuffling._layout_is_as_expected.cache_clear()


def test_the_state_lies_as_expected():
    """Else all shuffles are NumPy's, and nobody would notice but for the time."""
    assert shuffling._layout_is_as_expected()
