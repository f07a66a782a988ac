"""A 192-bit hash of the content of an array, as a key of the device cache.

An array may change in place between two calls of ``partial_fit``, and a grid search
copies the same rows for every candidate. So only the content tells whether X is on the
device already. Reading all of it must take much less time than sending it. The hash is
therefore three sums over 64-bit words, each mixed with its position: the compiler
vectorizes them, and threads can add up parts.

A word and its position are mixed by invertible steps into a number z. The third sum is
over z, so one changed word always changes the hash. The other two are over products of
the two halves of z, and of z with some bits flipped: in them, several changes cancel
only by chance.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from scipy import sparse

from skmlp.backends.threads import available_threads
from skmlp.compiler import jit

# Odd, with an irregular pattern of bits: the golden ratio's, which spreads positions,
# and the multiplier and bit flips of two 64-bit mixing functions in common use.
_STEP = np.uint64(0x9E3779B97F4A7C15)
_FACTOR = np.uint64(0xD6E8FEB86659FD93)
_FLIPPED_BITS = np.uint64(0xBF58476D1CE4E5B9)
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)

_WORD_BYTES = 8
# Words of a task, some tenths of a millisecond; more threads than this do not read
# memory any faster.
_TASK_WORDS, _MAX_THREADS = 1 << 20, 4


@jit.kernel
def _add(words, first, sums):
    """Add words to the three sums; `first` is the index of the first word."""
    sum_0 = sum_1 = sum_2 = np.uint64(0)
    position = np.uint64(first) * _STEP
    for i in range(words.shape[0]):
        position += _STEP
        z = words[i] ^ position
        z = (z ^ (z >> _HALF)) * _FACTOR
        flipped = z ^ _FLIPPED_BITS
        sum_0 += (z & _LOW) * (z >> _HALF)
        sum_1 += (flipped & _LOW) * (flipped >> _HALF)
        sum_2 += z
    sums[0] += sum_0
    sums[1] += sum_1
    sums[2] += sum_2


def _sums_of(words, first):
    sums = np.zeros(3, dtype=np.uint64)
    _add(words, first, sums)
    return sums


def content_hash(array, n_jobs=None):
    """Hash the bytes of an array.

    Parameters
    ----------
    array : ndarray
        C-contiguous.
    n_jobs : int or None
        As of an estimator. The hash does not depend on it.

    Returns
    -------
    tuple of 3 int
        Equal for arrays of equal bytes, and for arrays that differ by zeros which fill
        the last word: shapes and dtypes must be compared, too.
    """
    content = np.asarray(array).reshape(-1).view(np.uint8)
    n_words = content.size // _WORD_BYTES
    words = content[: n_words * _WORD_BYTES].view(np.uint64)
    last_word = np.zeros(_WORD_BYTES, dtype=np.uint8)
    last_word[: content.size % _WORD_BYTES] = content[words.nbytes :]
    firsts = [*range(0, n_words, _TASK_WORDS), n_words]
    parts = [words[first : first + _TASK_WORDS] for first in firsts[:-1]]
    parts.append(last_word.view(np.uint64))
    for part in parts:
        part.flags.writeable = False  # one type whatever X is, compiled once
    threads = 1
    if len(parts) > 2:
        threads = min(_MAX_THREADS, len(parts), available_threads(n_jobs))
    if threads == 1:
        sums = [*map(_sums_of, parts, firsts)]
    else:
        with ThreadPoolExecutor(threads) as pool:
            sums = [*pool.map(_sums_of, parts, firsts)]
    return tuple(int(total) for total in np.add.reduce(sums))


def cache_key(x, n_jobs=None):
    """The key of X in the device cache: equal for any X of the same content.

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
        (part.dtype.str, part.shape, content_hash(np.ascontiguousarray(part), n_jobs))
        for part in parts
    )
