"""Shuffle rows as NumPy does, with NumPy's numbers, in a quarter of its time.

In small networks `RandomState.shuffle` takes a tenth of an epoch, while the other
threads wait. Half of that is one function call for every number; most of the rest are
branches that the processor cannot predict, on whether a number is in range. Here the
Mersenne Twister (Matsumoto and Nishimura, 1998) renews its 624 words at once, and a
number out of range swaps a row with itself.

The kernel works in place on the generator's state: reading and writing it by NumPy's
properties would cost more than everything else. The memory layout of the state is not
documented, so it is compared with those properties once a process; where it differs, or
the numbers come from another generator, NumPy shuffles.
"""

import ctypes
import functools
import logging

import numpy as np

from skmlp.compiler import jit
from skmlp.forks import DRAWING

_LOGGER = logging.getLogger("skmlp")
# The Mersenne Twister's degree of recurrence and its middle word.
_N_WORDS, _MIDDLE = 624, 397
# For more rows NumPy draws two words for a number.
_MAX_ROWS = 1 << 32


def shuffle(generator, order):
    """Shuffle in place, as ``generator.shuffle(order)`` would.

    Parameters
    ----------
    generator : numpy.random.RandomState
        Its state afterwards is the same as well.
    order : ndarray of int64 of shape (rows,)
        Contiguous.
    """
    source = getattr(generator, "_bit_generator", None)
    if (
        type(source) is not np.random.MT19937
        or len(order) > _MAX_ROWS
        or not _layout_is_as_expected()
    ):
        generator.shuffle(order)
        return
    # The kernel runs without the interpreter's lock: in a child forked meanwhile the
    # generator would be half renewed.
    with DRAWING, source.lock:
        words, position = _state_of(source)
        _shuffle(words, position, np.empty_like(words), order)


def _state_of(source):
    """Views of a Mersenne Twister's words and of the index of the next one."""
    address = source.ctypes.state_address
    words = (ctypes.c_uint32 * _N_WORDS).from_address(address)
    position = (ctypes.c_int32 * 1).from_address(address + ctypes.sizeof(words))
    return np.ctypeslib.as_array(words), np.ctypeslib.as_array(position)


@functools.cache
def _layout_is_as_expected():
    """Whether the state lies in memory as `_state_of` reads it."""
    try:
        source = np.random.MT19937(0)
        words, position = _state_of(source)
        state = source.state["state"]
        same = np.array_equal(words, state["key"]) and position[0] == state["pos"]
        # Compiles, or loads, while no generator of a user's is locked.
        _shuffle(words, position, np.empty_like(words), np.arange(2, dtype=np.int64))
    except (AttributeError, KeyError, TypeError) as error:
        _LOGGER.debug("NumPy shuffles: %r", error)
        return False
    if not same:
        _LOGGER.debug("NumPy shuffles: its generator's state lies otherwise in memory")
    return bool(same)


@jit.inline
def _twist(upper, lower, middle):
    """A new word from the upper bit of one, the lower bits of the next, and a third."""
    joined = (upper & np.uint32(0x80000000)) | (lower & np.uint32(0x7FFFFFFF))
    row = np.uint32(0x9908B0DF) if joined & np.uint32(1) else np.uint32(0)
    return np.uint32(middle ^ (joined >> np.uint32(1)) ^ row)


@jit.inline
def _renew(words):
    """The next 624 words."""
    n_first = _N_WORDS - _MIDDLE
    for k in range(n_first):
        words[k] = _twist(words[k], words[k + 1], words[k + _MIDDLE])
    for k in range(n_first, _N_WORDS - 1):
        words[k] = _twist(words[k], words[k + 1], words[k - n_first])
    words[_N_WORDS - 1] = _twist(words[_N_WORDS - 1], words[0], words[_MIDDLE - 1])


@jit.inline
def _temper(words, numbers):
    """The random numbers of all words (the twister's tempering)."""
    for k in range(_N_WORDS):
        word = words[k]
        word ^= word >> np.uint32(11)
        word ^= (word << np.uint32(7)) & np.uint32(0x9D2C5680)
        word ^= (word << np.uint32(15)) & np.uint32(0xEFC60000)
        numbers[k] = word ^ (word >> np.uint32(18))


@jit.inline
def _bit_mask(i):
    """The smallest 2**n - 1 that is not below i."""
    for shift in (1, 2, 4, 8, 16):
        i |= i >> shift
    return i


@jit.kernel
def _shuffle(words, position, numbers, order):
    """Swap each row, from the last to the second, with an earlier one or itself."""
    i = order.shape[0] - 1
    next_word = position[0]
    _temper(words, numbers)
    while i > 0:
        mask = _bit_mask(i)
        # Down to this row the mask stays the same.
        last = mask >> 1
        while i > last:
            if next_word == _N_WORDS:
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
