"""
A table with categories and holes
=================================

`TabularMLPRegressor` takes a raw DataFrame: categories, dates, missing values, no
scaler and no encoder. It trains a small ensemble by a recipe of its own and says which
columns matter.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skmlp import TabularMLPRegressor

rng = np.random.default_rng(0)
n = 2000
table = pd.DataFrame(
    {
        "area": rng.gamma(6, 14, n),
        "rooms": rng.integers(1, 7, n),
        "district": pd.Categorical(
            rng.choice(["old town", "harbor", "hills", "station"], n)
        ),
        "heating": rng.choice(["gas", "district", "pump"], n),
        "built": pd.to_datetime("1950-01-01")
        + pd.to_timedelta(rng.integers(0, 26_000, n), "D"),
        "noise": rng.normal(size=n),
    }
)
level = table["district"].map(
    {"old town": 1.3, "harbor": 1.1, "hills": 1.5, "station": 0.8}
)
age = (pd.Timestamp("2025-01-01") - table["built"]).dt.days / 365
rent = 9 * table["area"] ** 0.9 * level.astype(float)
rent *= np.where(table["heating"] == "gas", 0.9, 1.0) * (1 + 0.3 * np.cos(age / 12))
rent += 60 * table["rooms"] + rng.normal(0, 50, n)
table.loc[rng.random(n) < 0.1, "area"] = np.nan
table.loc[rng.random(n) < 0.1, "heating"] = None
X_train, X_test, y_train, y_test = train_test_split(table, rent, random_state=0)
X_train.head()

# %%
# One line, beside two of scikit-learn's
# --------------------------------------

model = TabularMLPRegressor(preset="fast", random_state=0).fit(X_train, y_train)


def numeric(frame):
    """The date as a number: the others do not read dates."""
    return frame.assign(built=frame["built"].dt.year.astype(float))


names = ["district", "heating"]
numbers = ["area", "rooms", "built", "noise"]
linear = make_pipeline(
    make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), names),
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers),
    ),
    RidgeCV(),
)
linear.fit(numeric(X_train), y_train)
trees = HistGradientBoostingRegressor(
    categorical_features="from_dtype", learning_rate=0.2, max_iter=50, random_state=0
)
as_categories = dict.fromkeys(names, "category")
trees.fit(numeric(X_train).astype(as_categories), y_train)
predictions = {
    "linear": linear.predict(numeric(X_test)),
    "boosted trees": trees.predict(numeric(X_test).astype(as_categories)),
    "TabularMLPRegressor": model.predict(X_test),
}
errors = {name: np.sqrt(np.mean((p - y_test) ** 2)) for name, p in predictions.items()}

figure, axes = plt.subplots(1, 2, figsize=(10, 3.8))
axes[0].barh(list(errors), list(errors.values()), color=["0.7", "0.7", "C0"])
axes[0].set(title="Root mean square error on new rows")
importance = pd.Series(model.feature_importances_, table.columns).sort_values()
axes[1].barh(importance.index, importance)
axes[1].set(title="Importance by permutation")
figure.tight_layout()
plt.show()
