"""Which release of skmlp saved a model, and the warning where it was another one.

scikit-learn's base class does so for estimators of scikit-learn alone.
"""

import sys
import warnings

from skmlp.call_site import user_stacklevel
from skmlp.exceptions import InconsistentVersionWarning

# The entry of a pickled state that has the release that wrote it.
_VERSION = "_skmlp_version"


def version():
    """The release of this package."""
    return sys.modules["skmlp"].__version__


def stamped(state):
    """A state together with this release."""
    return state | {_VERSION: version()}


def unstamped(estimator, state):
    """A state without the release that wrote it, and that release.

    Warns where it is not this one.

    Parameters
    ----------
    estimator : object
        Whose state it is.
    state : dict

    Returns
    -------
    state : dict
        A new one.
    written_by : str or None
        None for the first releases, which did not say.
    """
    state = dict(state)
    written_by = state.pop(_VERSION, None)
    if written_by != version():
        warnings.warn(
            InconsistentVersionWarning(
                estimator_name=type(estimator).__name__,
                current_version=version(),
                original_version=written_by or "(an early release)",
            ),
            stacklevel=user_stacklevel(),
        )
    return state, written_by
