"""
A loss of your own
==================

Stock that is missing costs four times what stock that is left over costs. A loss is two
functions of scalars, its value and its slope; Numba compiles them, and the network
learns to order more than it expects to sell.
"""

import matplotlib.pyplot as plt
import numpy as np

from skmlp import Loss, MLPRegressor


def lopsided(missing):
    """A loss of `missing` for each piece too few, 1 for each too many.

    y are the pieces sold, z those ordered; the root makes the loss smooth around zero.
    """

    def value(y, z):
        weight = missing if y > z else 1.0
        return weight * (np.sqrt(1.0 + (y - z) ** 2) - 1.0)

    def slope(y, z):
        weight = missing if y > z else 1.0
        return weight * (z - y) / np.sqrt(1.0 + (y - z) ** 2)

    return Loss("lopsided", "identity", value, slope)


# %%
# Sales by day of the year, which vary more in summer
# ---------------------------------------------------

rng = np.random.default_rng(0)
day = rng.uniform(0, 365, 1000)
season = np.sin(day / 365 * np.pi) ** 2
sold = rng.poisson(20 + 60 * season) + rng.normal(0, 2 + 12 * season)
X = day[:, None] / 365
days = np.linspace(0, 365, 200)

figure, axis = plt.subplots(figsize=(7, 4))
axis.scatter(day, sold, s=4, color="0.7", label="sold")
for missing in (1.0, 4.0, 20.0):
    model = MLPRegressor(
        lopsided(missing),
        hidden_layer_sizes=(40,),
        activation="tanh",
        solver="lbfgs",
        max_iter=1000,
        scale_target=False,
        random_state=0,
    )
    model.fit(X, sold)
    order = model.predict(days[:, None] / 365)
    short = np.mean(sold > model.predict(X))
    axis.plot(days, order, label=f"missing costs {missing:g}: short on {short:.0%}")
axis.set(xlabel="day of the year", ylabel="pieces", title="What to order")
axis.legend()
plt.show()
