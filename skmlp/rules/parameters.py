"""Parameters that a row of a table declares: name, default, allowed values, text.

The estimators' signatures, constraints and documentation follow from these
declarations, so a row with a parameter of a new name needs no other file.
"""

from typing import Any, NamedTuple

import numpy as np


class Range(NamedTuple):
    """An interval of numbers.

    Attributes
    ----------
    low, high : float or None
        None for no bound.
    closed : {'left', 'right', 'both', 'neither'}
        Which bounds belong to it.
    integral : bool, default=False
        Whether only integers are allowed.
    """

    low: float | None
    high: float | None
    closed: str
    integral: bool = False


class Parameter(NamedTuple):
    """A parameter of the estimators, declared by the rows that read it.

    Attributes
    ----------
    name : str
    default : float, int or bool
        The default of the estimators' constructor.
    constraint : tuple of Range, str or None
        Allowed values: ranges, None, and words of scikit-learn, as 'boolean' or
        'array-like'.
    about : str
        What the documentation says about it.
    type : str, default=''
        Its type in the documentation; '' for the name of the default's type.
    """

    name: str
    default: Any
    constraint: tuple[Range | str | None, ...]
    about: str
    type: str = ""


def declared(rows):
    """Parameters that rows of a table declare, by name.

    Parameters
    ----------
    rows : iterable
        Rows with an attribute ``declares``, a tuple of `Parameter`.

    Returns
    -------
    dict of str to Parameter
        In the order of the rows.

    Raises
    ------
    ValueError
        If two rows declare a name differently.
    """
    parameters: dict[str, Parameter] = {}
    for row in rows:
        for parameter in row.declares:
            if parameters.setdefault(parameter.name, parameter) != parameter:
                raise ValueError(
                    f"{row.name!r} declares the parameter {parameter.name!r} "
                    "differently from another row: declare it once and share it."
                )
    return parameters


def is_default(value, default):
    """Whether a parameter has its default value; arrays never have."""
    return value is default or (np.ndim(value) == 0 and value == default)
