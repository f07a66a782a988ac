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

    y are the pieces sold, z those ordered, in units of their standard deviation. The
    root makes the loss smooth around zero.
    """

    def value(y, z):
        weight = missing if y > z else 1.0
        return weight * np.sqrt(0.01 + (y - z) ** 2)

    def slope(y, z):
        weight = missing if y > z else 1.0
        return weight * (z - y) / np.sqrt(0.01 + (y - z) ** 2)

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

figure, axis = plt.subplots(figsize=(8, 5))
axis.scatter(day, sold, s=4, color="0.7", label="sold")
for missing in (1.0, 4.0, 15.0):
    model = MLPRegressor(
        lopsided(missing),
        hidden_layer_sizes=(40,),
        activation="tanh",
        learning_rate="cosine",
        learning_rate_init=0.02,
        batch_size=50,
        max_iter=150,
        scale_target=True,
        random_state=0,
    )
    model.fit(X, sold)
    order = model.predict(days[:, None] / 365)
    short = np.mean(sold > model.predict(X))
    axis.plot(days, order, label=f"missing costs {missing:g}: short on {short:.0%}")
axis.set(
    xlabel="day of the year", ylabel="pieces", title="What to order", ylim=(0, 150)
)
axis.legend(markerscale=3, loc="upper left", fontsize="small")
plt.show()
