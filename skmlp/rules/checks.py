"""Checks of custom rules: the slope must be the derivative of the value.

A wrong sign or a forgotten factor trains to something, only worse, and nothing else
would ever tell. The tables' rules are checked by the tests.
"""

import functools
import inspect

import numpy as np

_STEP = 1e-6
# Off all round numbers, where functions like to have a kink.
_POINTS = np.linspace(-3.0, 3.0, 41) + 0.0123
_TOLERANCE = 1e-4


def _called(function, name, *arguments):
    # Numba compiles the code of a Python function; ufuncs and methods have none.
    if not inspect.isfunction(function):
        raise ValueError(
            f"{name} must be a function of Python, got {function!r}: write one that "
            "calls it, as in lambda z: np.sin(z)."
        )
    with np.errstate(all="ignore"):
        try:
            return np.array(
                [float(function(*scalars)) for scalars in zip(*arguments, strict=True)]
            )
        except Exception as error:
            raise ValueError(f"{name} failed: {error!r}") from error


def _compare(what, values, slopes):
    """Compare slopes with differences of the values at points either side."""
    numerical = (values[1] - values[0]) / (2 * _STEP)
    known = np.isfinite(numerical)
    # A slope of nan is far from any number.
    far = known & ~(np.abs(slopes - numerical) <= _TOLERANCE * (1 + np.abs(numerical)))
    # A kink that a point happens to hit is no error.
    if np.count_nonzero(far) > 2 or not known.any():
        gaps = np.nan_to_num(np.abs(slopes - numerical), nan=np.inf)
        worst = np.argmax(np.where(far, gaps, -1.0))
        raise ValueError(
            f"The slope of {what} is not the derivative of its value: at "
            f"z={_POINTS[worst % len(_POINTS)]:.4f} it is {slopes[worst]:.6g}, by "
            f"finite differences {numerical[worst]:.6g}."
        )


@functools.lru_cache(maxsize=64)
def check_activation(row):
    """Check an activation by finite differences.

    Raises
    ------
    ValueError
        That names it, the point, the slope and the difference quotient.
    """
    what = f"activation {row.name!r}"
    if row.slope_of not in ("output", "input"):
        raise ValueError(
            f"{what} has slope_of={row.slope_of!r}, which must be 'output' or 'input'."
        )
    below, at, above = (_called(row.value, what, _POINTS + h) for h in _steps())
    known = _POINTS if row.needs_preactivation else at
    slopes = _called(row.slope, f"the slope of {what}", known)
    _compare(what, (below, above), slopes)


@functools.lru_cache(maxsize=64)
def check_loss(row, *, labels=False):
    """Check a custom loss by finite differences.

    Parameters
    ----------
    row : Loss
    labels : bool, default=False
        Whether its targets are 0 and 1, and nothing between.

    Raises
    ------
    ValueError
        That names it, the point, the slope and the difference quotient.
    """
    what = f"loss {row.name!r}"
    if row.value is None or row.slope is None:
        raise ValueError(f"{what} needs both a value and a slope.")
    targets = np.array([0.0, 1.0]) if labels else _targets(row.low, row.high)
    z = np.tile(_POINTS, len(targets))
    y = np.repeat(targets, len(_POINTS))
    # A parameter may be anything; the middle of (0, 1) suits most.
    p = (np.full(len(z), 0.5),) * len(row.parameters)
    below, _, above = (_called(row.value, what, y, z + h, *p) for h in _steps())
    slopes = _called(row.slope, f"the slope of {what}", y, z, *p)
    _compare(what, (below, above), slopes)


def _targets(low, high):
    """Three targets strictly within a range that may be unbounded."""
    if np.isinf(low):
        low = -2.0 if np.isinf(high) else high - 4.0
    high = low + 4.0 if np.isinf(high) else high
    return np.linspace(low, high, 5)[1:-1]


def _steps():
    return (-_STEP, 0.0, _STEP)
