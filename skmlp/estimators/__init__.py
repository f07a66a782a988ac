"""The estimators: parameters, validation, labels, predictions. No maths, no Numba."""

from skmlp.estimators.autoencoder import MLPAutoencoder
from skmlp.estimators.classifier import MLPClassifier
from skmlp.estimators.regressor import MLPRegressor

__all__ = ["MLPAutoencoder", "MLPClassifier", "MLPRegressor"]
