"""Permutation importance of a table's features."""

import numpy as np


def permutation_importances(estimator):
    """Increase of an ensemble's error when a feature's values are shuffled.

    The encoded columns of a feature are shuffled together.

    Parameters
    ----------
    estimator : BaseTabularMLP
        Fitted.

    Returns
    -------
    ndarray of shape (n_features_in_,)
    """
    validated = estimator._validated
    generator = np.random.RandomState(0)
    x = validated.x if isinstance(validated.x, np.ndarray) else validated.x.toarray()

    def error(values):
        output = estimator._averaged_encoded(values)
        return estimator._error(output, validated.y, validated.sample_weight)

    before = error(x)
    importances = np.zeros(estimator.n_features_in_)
    for feature, columns in enumerate(estimator.preprocessor_.columns_of_features()):
        if len(columns) == 0:
            continue
        shuffled = x.copy()
        shuffled[:, columns] = x[generator.permutation(len(x))][:, columns]
        importances[feature] = error(shuffled) - before
    return importances
