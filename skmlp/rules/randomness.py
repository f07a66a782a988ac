"""Random numbers by counting: the same for every number of threads and every device.

A number is a function of where it is used (seed, step, layer, row of the batch, unit)
and of nothing else, so whoever needs it computes it, in any order and as often as
needed. The mixing function is a bijection of 32-bit words with low bias, found by
search (Wellons, 2018, "Prospecting for hash functions").

Words are unsigned 32-bit NumPy scalars; every result is cast, since Numba widens
products. In Python the wrap-around of products has to be allowed by the caller.
"""

import numpy as np


def mix_upper(word):
    """A word whose upper half looks random, for any word."""
    U = np.uint32
    word = U(word ^ (word >> U(16)))
    word = U(word * U(0x7FEB352D))
    word = U(word ^ (word >> U(15)))
    return U(word * U(0x846CA68B))


def mix(word):
    """A word that looks random, for any word."""
    word = mix_upper(word)
    return np.uint32(word ^ (word >> np.uint32(16)))


def key_of(seed, step, layer):
    """The key of a layer in one step; arguments are integers."""
    U = np.uint32
    word = mix(U(seed & 0xFFFFFFFF))
    word = mix(U(word ^ U(step & 0xFFFFFFFF)))
    return mix(U(word ^ U(layer & 0xFFFFFFFF)))


def _place(key, number):
    U = np.uint32
    return U(key + U(number * U(0x9E3779B9)))


def word_of(key, number):
    """The random word of an element, by its number in the batch (unsigned word)."""
    return mix(_place(key, number))


def is_kept(key, number, threshold):
    """Whether dropout keeps an element; it drops the share ``threshold / 2**32``.

    The upper half of a word decides, to within 2^-16.
    """
    return mix_upper(_place(key, number)) >= threshold


def threshold_of(rate):
    """The threshold of `is_kept` for a rate of dropout."""
    return np.uint32(min(round(rate * 2**32), 2**32 - 1))


def normal_of(word):
    """A number of the standard normal distribution (Box and Muller, 1958)."""
    other = mix(np.uint32(word ^ np.uint32(0x9E3779B9)))
    u = (np.float64(word) + 0.5) * 2.3283064365386963e-10
    v = (np.float64(other) + 0.5) * 2.3283064365386963e-10
    return np.sqrt(-2.0 * np.log(u)) * np.cos(6.283185307179586 * v)


HELPERS = (mix_upper, mix, key_of, _place, word_of, is_kept, normal_of)
