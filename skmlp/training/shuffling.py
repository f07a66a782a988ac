"""The shuffle of rows: NumPy's, with NumPy's numbers, in a quarter of its time.

In small networks `RandomState.shuffle` takes a tenth of an epoch, while the other
threads wait. Half of that is the call of a function for every number, most of the rest
are branches that a processor cannot guess, on whether a number is in range. Here the
Mersenne Twister (Matsumoto and Nishimura, 1998) fills its 624 words at once, and a
number out of range swaps a row with itself.

The state is the generator's own, worked on where it lies: to take it out and to put it
back by NumPy's properties would cost more than all else. How it lies is not documented,
so it is compared with what the properties say, once a process; where that differs, or
the numbers come from another generator, NumPy shuffles.
"""

import ctypes
import functools

import numpy as np

from skmlp.compiler import jit

_WORDS, _AHEAD = 624, 397
# Beyond so many rows NumPy takes two words for a number.
_MOST_ROWS = 1 << 32


def shuffle(generator, order):
    """Shuffle in place, as ``generator.shuffle(order)`` would.

    Parameters
    ----------
    generator : numpy.random.RandomState
        Its state afterwards is the same as well.
    order : ndarray of int64 of shape (rows,)
        Contiguous.
    """
    source = generator._bit_generator
    if (
        type(source) is not np.random.MT19937
        or len(order) > _MOST_ROWS
        or not _is_as_expected()
    ):
        generator.shuffle(order)
        return
    with source.lock:
        words, position = _state_of(source)
        _shuffle(words, position, np.empty_like(words), order)


def _state_of(source):
    """The words of a Mersenne Twister and the place of the next one, not copied."""
    address = source.ctypes.state_address
    words = (ctypes.c_uint32 * _WORDS).from_address(address)
    position = (ctypes.c_int32 * 1).from_address(address + ctypes.sizeof(words))
    return np.ctypeslib.as_array(words), np.ctypeslib.as_array(position)


@functools.cache
def _is_as_expected():
    """Whether the state lies in memory as `_state_of` reads it."""
    source = np.random.MT19937(0)
    words, position = _state_of(source)
    said = source.state["state"]
    return bool(np.array_equal(words, said["key"]) and position[0] == said["pos"])


@jit.inline
def _mixed(high, low, ahead):
    """A new word from the highest bit of one, the others of the next, and one ahead."""
    both = (high & np.uint32(0x80000000)) | (low & np.uint32(0x7FFFFFFF))
    twist = np.uint32(0x9908B0DF) if both & np.uint32(1) else np.uint32(0)
    return np.uint32(ahead ^ (both >> np.uint32(1)) ^ twist)


@jit.inline
def _renew(words):
    """The next 624 words."""
    rest = _WORDS - _AHEAD
    for k in range(rest):
        words[k] = _mixed(words[k], words[k + 1], words[k + _AHEAD])
    for k in range(rest, _WORDS - 1):
        words[k] = _mixed(words[k], words[k + 1], words[k - rest])
    words[_WORDS - 1] = _mixed(words[_WORDS - 1], words[0], words[_AHEAD - 1])


@jit.inline
def _temper(words, numbers):
    """The numbers that words stand for."""
    for k in range(_WORDS):
        word = words[k]
        word ^= word >> np.uint32(11)
        word ^= (word << np.uint32(7)) & np.uint32(0x9D2C5680)
        word ^= (word << np.uint32(15)) & np.uint32(0xEFC60000)
        numbers[k] = word ^ (word >> np.uint32(18))


@jit.inline
def _all_bits(i):
    """The least number of ones, in binary, that is not below i."""
    for shift in (1, 2, 4, 8, 16):
        i |= i >> shift
    return i


@jit.kernel
def _shuffle(words, position, numbers, order):
    """Swap every row, from the last on, with one before it or itself."""
    i = order.shape[0] - 1
    place = position[0]
    _temper(words, numbers)
    while i > 0:
        bits = _all_bits(i)
        # Down to here the mask of bits stays the same.
        least = bits >> 1
        while i > least:
            if place == _WORDS:
                _renew(words)
                _temper(words, numbers)
                place = 0
            number = np.int64(numbers[place]) & bits
            place += 1
            in_range = number <= i
            other = number if in_range else i
            row = order[i]
            order[i] = order[other]
            order[other] = row
            i -= np.int64(in_range)
    position[0] = place
