"""Raw tables: a DataFrame with categories, dates and missing values.

    python examples/tabular.py

trains `TabularMLPRegressor` beside scikit-learn's gradient boosting on diabetes data of
442 patients, whose sex is a category and a tenth of whose values are taken away, and
shows which columns matter. It needs pandas.
"""

import time

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import KFold

from skmlp import TabularMLPRegressor


def patients():
    """Ages, sexes, blood values with gaps, and the progress of the disease."""
    table, progress = load_diabetes(return_X_y=True, as_frame=True, scaled=False)
    table["sex"] = table["sex"].map({1.0: "one", 2.0: "two"}).astype("category")
    measured = [name for name in table if name != "sex"]
    is_lost = np.random.default_rng(0).random((len(table), len(measured))) < 0.1
    table[measured] = table[measured].mask(is_lost)
    return table, progress


def cross_validated_error(model, table, target):
    """Mean error over five folds, and the seconds that the fits took."""
    errors, seconds = [], 0.0
    for train, test in KFold(5, shuffle=True, random_state=0).split(table):
        start = time.perf_counter()
        model.fit(table.iloc[train], target.iloc[train])
        seconds += time.perf_counter() - start
        predicted = model.predict(table.iloc[test])
        errors.append(root_mean_squared_error(target.iloc[test], predicted))
    return np.mean(errors), seconds


def main():
    table, progress = patients()
    print(table.head(3).to_string(), "\n")
    print(f"always the mean: root mean squared error {progress.std():.1f}")
    models = {
        "gradient boosting": HistGradientBoostingRegressor(
            categorical_features="from_dtype", random_state=0
        ),
        "skmlp": TabularMLPRegressor(random_state=0),
    }
    for name, model in models.items():
        error, seconds = cross_validated_error(model, table, progress)
        print(f"{name}: root mean squared error {error:.1f}, {seconds:.1f} s of fits")

    model = models["skmlp"].fit(table, progress)
    importances = pd.Series(model.feature_importances_, table.columns)
    print("\nLoss of R² when a column is shuffled:")
    print(importances.sort_values(ascending=False).head(4).round(2).to_string())


if __name__ == "__main__":
    main()
