"""The public face of skmlp.

It holds no logic, and importing it compiles nothing: Numba is imported at the
first fit, so that a script which only loads a model or builds a parameter grid
does not pay for it.
"""

from skmlp._precompile import warmup
from skmlp.estimators import MLPClassifier, MLPRegressor
from skmlp.estimators.diagnosis import diagnose
from skmlp.rules.activations import Activation
from skmlp.rules.loss_row import Loss

__version__ = "0.1.0"

__all__ = [
    "Activation",
    "Loss",
    "MLPClassifier",
    "MLPRegressor",
    "__version__",
    "diagnose",
    "warmup",
]
