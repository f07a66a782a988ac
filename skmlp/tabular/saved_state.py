"""The attributes of the estimators for tables as pickles store them, and back.

As plain lists and dicts: a pickle then refers to no module of skmlp but the public one,
and files may move without breaking saved models.
"""

from collections.abc import Callable
from typing import ClassVar

from sklearn.base import BaseEstimator

from skmlp.estimators.release import stamped, unstamped


def with_attributes(cls):
    """The function that makes an object of a class from its attributes."""

    def restored(attributes):
        instance = cls.__new__(cls)
        vars(instance).update(attributes)
        return instance

    return restored


class PlainState(BaseEstimator):
    """Base of what is pickled so; `_plain` has the conversions by attribute."""

    # To what a pickle stores, and from it.
    _plain: ClassVar[dict[str, tuple[Callable, Callable]]] = {}

    def __getstate__(self):
        state = dict(super().__getstate__())
        for name, (convert, _) in self._plain.items():
            if state.get(name) is not None:
                state[name] = convert(state[name])
        return stamped(state)

    def __setstate__(self, state):
        state, _ = unstamped(self, state)
        for name, (_, convert) in self._plain.items():
            if state.get(name) is not None:
                state[name] = convert(state[name])
        super().__setstate__(state)
