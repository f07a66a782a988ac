"""Pictures of networks and of their training, in scikit-learn's convention of displays.

Each class has a class method `from_estimator`, which computes and plots, and a method
`plot`, which plots once more, elsewhere or otherwise. Importing this does not import
matplotlib.
"""

from skmlp.display.activations import ActivationDisplay
from skmlp.display.intervals import PredictionIntervalDisplay
from skmlp.display.learning_rates import LearningRateRangeDisplay, learning_rate_range
from skmlp.display.loss_curves import LossCurveDisplay
from skmlp.display.weights import WeightsDisplay

__all__ = [
    "ActivationDisplay",
    "LearningRateRangeDisplay",
    "LossCurveDisplay",
    "PredictionIntervalDisplay",
    "WeightsDisplay",
    "learning_rate_range",
]
