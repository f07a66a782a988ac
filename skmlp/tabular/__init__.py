"""Estimators for tables: raw columns in, ensembles of multi-layer perceptrons out."""

from skmlp.tabular.classifier import TabularMLPClassifier
from skmlp.tabular.preprocessor import TabularPreprocessor
from skmlp.tabular.regressor import TabularMLPRegressor

__all__ = ["TabularMLPClassifier", "TabularMLPRegressor", "TabularPreprocessor"]
