"""Counter-based random numbers: the same for every number of threads and every device.

A random number is a pure function of its seed, step, layer and index in the batch, so
any thread can compute it, in any order and as often as needed. The mixing function is a
bijection of 32-bit words with low bias, found by search (Wellons, 2018, "Prospecting
for hash functions").

Words are unsigned 32-bit NumPy scalars; every result is cast, since Numba widens
products. In Python the wrap-around of products has to be allowed by the caller.
"""

import numpy as np

from skmlp.rules.elementary import log


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


def _counter(key, index):
    U = np.uint32
    return U(key + U(index * U(0x9E3779B9)))


def word_of(key, index):
    """The random word of an element, by its index in the batch (unsigned word)."""
    return mix(_counter(key, index))


def is_kept(key, index, threshold):
    """Whether dropout keeps an element; it drops the fraction ``threshold / 2**32``.

    The upper half of a word decides, to within 2^-16.
    """
    return mix_upper(_counter(key, index)) >= threshold


def threshold_of(rate):
    """The threshold of `is_kept` for a rate of dropout, or for each of an array."""
    expected = np.rint(np.asarray(rate, dtype=np.float64) * 2**32)
    return np.minimum(expected, 2**32 - 1).astype(np.uint32)


def normal_of(word, deviation):
    """A sample of the normal distribution with mean 0 and some standard deviation.

    By inversion: the quantile function of the half-normal distribution, with the word's
    first bit as the sign. The approximation is the single-precision one of Giles (2010,
    "Approximating the erfinv function"); no statistic of the samples could tell it from
    a more precise one. It has no cosine and two short branches, so that the loop around
    it vectorizes.
    """
    T = type(deviation)
    # The probability of a value farther from zero: precise in the tail.
    tail = (T(np.int32(word & np.uint32(0x7FFFFFFF))) + T(0.5)) * T(2.0**-31)
    w = -log(tail * (T(2) - tail))
    near, far = w - T(2.5), T(np.sqrt(w)) - T(3)
    p = _central(near) if w < T(5) else _outer(far)
    size = T(1.4142135623730951) * p * (T(1) - tail)
    return deviation * (size if word >= np.uint32(0x80000000) else -size)


def _central(w):
    """Giles' polynomial for samples within 2.9 standard deviations."""
    T = type(w)
    p = T(2.81022636e-08) * w + T(3.43273939e-07)
    p = p * w + T(-3.5233877e-06)
    p = p * w + T(-4.39150654e-06)
    p = p * w + T(0.00021858087)
    p = p * w + T(-0.00125372503)
    p = p * w + T(-0.00417768164)
    p = p * w + T(0.246640727)
    return p * w + T(1.50140941)


def _outer(w):
    """Giles' polynomial for all other samples."""
    T = type(w)
    p = T(-0.000200214257) * w + T(0.000100950558)
    p = p * w + T(0.00134934322)
    p = p * w + T(-0.00367342844)
    p = p * w + T(0.00573950773)
    p = p * w + T(-0.0076224613)
    p = p * w + T(0.00943887047)
    p = p * w + T(1.00167406)
    return p * w + T(2.83297682)


HELPERS = (
    mix_upper,
    mix,
    key_of,
    _counter,
    word_of,
    is_kept,
    _central,
    _outer,
    normal_of,
)
