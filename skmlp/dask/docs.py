"""The docstrings of the estimators for Dask, made of those of the local ones."""

import inspect
import re

from skmlp.estimators import annotations as typed

_OWN_PARAMETERS = """
client : distributed.Client, default=None
    None for the current one. It is not pickled, and clones share it.

sync_every : int or 'epoch', default=1
    Steps between two synchronizations. 1: after each step; losses and parameters
    are then those of one machine on the same minibatches, up to rounding. More: workers
    step by themselves and then average their parameters and moments, which takes
    fewer messages.

checkpoint : str, default=None
    A directory that all workers share, in which the network is kept after each
    epoch, as ``checkpoint.joblib``, an estimator of one machine. If a worker is
    lost, the fit goes on from there on the workers that are left, three times at
    most.

timeout : float, default=60.0
    Seconds that a worker may wait for another before the fit ends with an error.
"""

_NOTES = """
``n_jobs=None`` is as many threads as a worker has, ``device`` must be 'cpu', and
``sampling`` needs all rows in one place.

Blocks of rows stay where the partitions of X are, if these are persisted, and are
spread evenly otherwise. A worker that has several joins them, which takes memory for
its rows twice. The same partitions on the same number of workers give the same bits;
one worker gives those of the local fit.
"""

_HEADING = re.compile(r"(?m)^(\w[\w ]*)\n-+\n")


def with_docs_of(local):
    """Class decorator: fill in the sections of a local estimator's docstring.

    A slot ``{parameters of the local estimator}`` stands for its section Parameters;
    the same with attributes and references.

    Parameters
    ----------
    local : class
    """

    def fill(estimator: typed.Class) -> typed.Class:
        if estimator.__doc__ is None:  # python -OO
            return estimator
        _, *parts = _HEADING.split(inspect.cleandoc(local.__doc__))
        sections = dict(zip(parts[::2], parts[1::2], strict=True))
        doc = inspect.cleandoc(estimator.__doc__)
        for name in ("Parameters", "Attributes", "References"):
            slot = f"{{{name.lower()} of the local estimator}}"
            doc = doc.replace(slot, sections[name].strip())
        doc = doc.replace("{own parameters}", _OWN_PARAMETERS.strip())
        estimator.__doc__ = f"{doc.replace('{notes}', _NOTES.strip())}\n"
        return estimator

    return fill
