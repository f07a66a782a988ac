"""Where the user's code called: warnings point there and not into the package."""

import sys

# Frames of these packages lie between the user's line and the warning.
_NOT_THE_USER = {"skmlp", "numba", "sklearn", "joblib", "contextlib"}


def user_stacklevel():
    """`stacklevel` of ``warnings.warn`` for the line of the user.

    Returns
    -------
    int
        That of the first frame outside of the package and the libraries that call it,
        counted from the caller of this function. In a worker of a search there may be
        none: then that of the outermost frame.
    """
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in _NOT_THE_USER:
            break
        frame, level = frame.f_back, level + 1
    return level
