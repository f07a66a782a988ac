"""The parameters that the estimators for Dask have beside those of the local ones."""

import inspect
from collections import ChainMap
from collections.abc import MutableMapping
from numbers import Integral, Real
from typing import Any

from sklearn.utils._param_validation import Interval, StrOptions

OWN = {"client": None, "sync_every": 1, "checkpoint": None, "timeout": 60.0}
_CONSTRAINTS = {
    "client": "no_validation",
    "sync_every": [
        Interval(Integral, 1, None, closed="left"),
        StrOptions({"epoch"}),
    ],
    "checkpoint": [str, None],
    "timeout": [Interval(Real, 0, None, closed="neither")],
}


def constraints_of(local) -> MutableMapping[str, Any]:
    """Allowed values of all parameters; those of rows that are added later, too."""
    return ChainMap(_CONSTRAINTS, local._parameter_constraints)


class ExtendedConstructor:
    """A descriptor for ``__init__``: the local estimator's, and `OWN`.

    Parameters
    ----------
    local : class
        `MLPClassifier` or `MLPRegressor`.
    """

    def __init__(self, local):
        self._local = local
        self._inherited = None

        def construct(self, *args, **parameters):
            own = {name: parameters.pop(name, OWN[name]) for name in OWN}
            local.__init__(self, *args, **parameters)
            vars(self).update(own)

        construct.__name__, construct.__qualname__ = "__init__", "__init__"
        self._construct: Any = construct

    def __get__(self, instance, owner=None):
        # A new object after rows were added to the rules' tables.
        inherited = inspect.signature(self._local.__init__)
        if inherited is not self._inherited:
            own = [
                inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
                for name, default in OWN.items()
            ]
            parameters = [*inherited.parameters.values(), *own]
            signature = inherited.replace(parameters=parameters)
            self._construct.__signature__ = signature
            self._inherited = inherited
        return self._construct.__get__(instance, owner)
