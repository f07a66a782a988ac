"""What an array holds, in 192 bits, to know it again by.

An array is changed in place between two calls of ``partial_fit``, and a grid search
makes an array of its own of the same rows for every candidate: nothing but the content
says whether X is on the device already. To look at all of it has to take much less time
than to send it, so these are sums, which a compiler turns into vectors and threads may
share, of 64-bit words that are mixed with their positions.

A word and its position give, by steps that can be undone, a number z. The third sum is
of z, so that a single word that has changed always shows. The other two are of products
of the halves of z, and of z with some bits turned over: what several changed words do
to them does not cancel but by chance.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import sparse

from skmlp.backends.threads import available_threads
from skmlp.compiler import jit

# Odd, with ones and zeros in no order: the golden ratio's, which spreads positions, and
# the multiplier and the bits to turn over, of two mixes of 64 bits in common use.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FACTOR = np.uint64(0xD6E8FEB86659FD93)
_TURNED = np.uint64(0xBF58476D1CE4E5B9)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)

_WORD_BYTES = 8
# Of a thread at a time, some tenths of a millisecond; and more threads than this do not
# read memory any faster.
_PART_WORDS, _MOST_THREADS = 1 << 20, 4


@jit.kernel
def _add(words, first, sums):
    """Add some words' part to the three sums, `first` being the first one's number."""
    one = another = plain = np.uint64(0)
    position = np.uint64(first) * _STEP
    for i in range(words.shape[0]):
        position += _STEP
        z = words[i] ^ position
        z = (z ^ (z >> _HALF)) * _FACTOR
        turned = z ^ _TURNED
        one += (z & _LOW) * (z >> _HALF)
        another += (turned & _LOW) * (turned >> _HALF)
        plain += z
    sums[0] += one
    sums[1] += another
    sums[2] += plain


def _sums_of(words, first):
    sums = np.zeros(3, dtype=np.uint64)
    _add(words, first, sums)
    return sums


def fingerprint(array, n_jobs=None):
    """Three sums over the bytes of an array.

    Parameters
    ----------
    array : ndarray
        C-contiguous.
    n_jobs : int or None
        As of an estimator. The sums do not depend on it.

    Returns
    -------
    tuple of 3 int
        Equal for arrays of equal bytes, and where zeros at the end fill up a word:
        shapes and dtypes have to be compared, too.
    """
    content = np.asarray(array).reshape(-1).view(np.uint8)
    n_words = content.size // _WORD_BYTES
    words = content[: n_words * _WORD_BYTES].view(np.uint64)
    rest = np.zeros(_WORD_BYTES, dtype=np.uint8)
    rest[: content.size % _WORD_BYTES] = content[words.nbytes :]
    firsts = [*range(0, n_words, _PART_WORDS), n_words]
    parts = [words[first : first + _PART_WORDS] for first in firsts[:-1]]
    parts.append(rest.view(np.uint64))
    for part in parts:
        part.flags.writeable = False  # all of one type, whatever X is: compiled once
    threads = 1
    if len(parts) > 2:
        threads = min(_MOST_THREADS, len(parts), available_threads(n_jobs))
    if threads == 1:
        found = [*map(_sums_of, parts, firsts)]
    else:
        with ThreadPoolExecutor(threads) as pool:
            found = [*pool.map(_sums_of, parts, firsts)]
    return tuple(int(total) for total in np.add.reduce(found))


def key_of(x, n_jobs=None):
    """What equals the key of any other X that has the same content.

    Parameters
    ----------
    x : ndarray or scipy.sparse CSR
    n_jobs : int or None

    Returns
    -------
    tuple
    """
    parts = (x.data, x.indices, x.indptr) if sparse.issparse(x) else (x,)
    return tuple(
        (part.dtype.str, part.shape, fingerprint(np.ascontiguousarray(part), n_jobs))
        for part in parts
    )
