"""The shuffle of the rows: NumPy's algorithm and random numbers, four times as fast.

In small networks `RandomState.shuffle` is a tenth of an epoch's time, while the other
threads wait. Half of that is a function call per random number; most of the rest are
branch mispredictions on whether a number is in range. Here the Mersenne Twister
(Matsumoto and Nishimura, 1998) fills its 624 words at once, and a number out of range
swaps a row with itself.

The kernel works on the generator's state in place: reading and writing it by NumPy's
properties would take longer than the shuffle. The memory layout of the state is not
documented, so it is compared with those properties once per process. If they differ, or
the random numbers come from another generator, NumPy shuffles.
"""

import ctypes
import functools

import numpy as np

from skmlp.compiler import jit

_WORDS, _AHEAD = 624, 397
# For more rows NumPy uses two words per random number.
_MAX_ROWS = 1 << 32


def shuffle(generator, order):
    """Shuffle in place, as ``generator.shuffle(order)`` would.

    Parameters
    ----------
    generator : numpy.random.RandomState
        Its state afterwards is the same too.
    order : ndarray of int64 of shape (n_rows,)
        Contiguous.
    """
    source = generator._bit_generator
    if (
        type(source) is not np.random.MT19937
        or len(order) > _MAX_ROWS
        or not _layout_is_known()
    ):
        generator.shuffle(order)
        return
    with source.lock:
        words, position = _state_of(source)
        _shuffle(words, position, np.empty_like(words), order)


def _state_of(source):
    """The words of a Mersenne Twister and the index of the next one, as views."""
    address = source.ctypes.state_address
    words = (ctypes.c_uint32 * _WORDS).from_address(address)
    position = (ctypes.c_int32 * 1).from_address(address + ctypes.sizeof(words))
    return np.ctypeslib.as_array(words), np.ctypeslib.as_array(position)


@functools.cache
def _layout_is_known():
    """Whether the memory layout of the state is the one that `_state_of` reads."""
    source = np.random.MT19937(0)
    words, position = _state_of(source)
    state = source.state["state"]
    return bool(np.array_equal(words, state["key"]) and position[0] == state["pos"])


@jit.inline
def _mixed(high, low, ahead):
    """A new word from the highest bit of one, the others of the next, and one ahead."""
    both = (high & np.uint32(0x80000000)) | (low & np.uint32(0x7FFFFFFF))
    twist = np.uint32(0x9908B0DF) if both & np.uint32(1) else np.uint32(0)
    return np.uint32(ahead ^ (both >> np.uint32(1)) ^ twist)


@jit.inline
def _renew(words):
    """The next 624 words."""
    n_first = _WORDS - _AHEAD
    for k in range(n_first):
        words[k] = _mixed(words[k], words[k + 1], words[k + _AHEAD])
    for k in range(n_first, _WORDS - 1):
        words[k] = _mixed(words[k], words[k + 1], words[k - n_first])
    words[_WORDS - 1] = _mixed(words[_WORDS - 1], words[0], words[_AHEAD - 1])


@jit.inline
def _temper(words, numbers):
    """The random numbers of the words, by tempering."""
    for k in range(_WORDS):
        word = words[k]
        word ^= word >> np.uint32(11)
        word ^= (word << np.uint32(7)) & np.uint32(0x9D2C5680)
        word ^= (word << np.uint32(15)) & np.uint32(0xEFC60000)
        numbers[k] = word ^ (word >> np.uint32(18))


@jit.inline
def _bit_mask(i):
    """The smallest 2ⁿ - 1 that is not below i."""
    for shift in (1, 2, 4, 8, 16):
        i |= i >> shift
    return i


@jit.kernel
def _shuffle(words, position, numbers, order):
    """Fisher-Yates shuffle, from the last row to the first."""
    i = order.shape[0] - 1
    next_word = position[0]
    _temper(words, numbers)
    while i > 0:
        mask = _bit_mask(i)
        # Down to here the mask stays the same.
        lowest = mask >> 1
        while i > lowest:
            if next_word == _WORDS:
                _renew(words)
                _temper(words, numbers)
                next_word = 0
            number = np.int64(numbers[next_word]) & mask
            next_word += 1
            in_range = number <= i
            other = number if in_range else i
            row = order[i]
            order[i] = order[other]
            order[other] = row
            i -= np.int64(in_range)
    position[0] = next_word
