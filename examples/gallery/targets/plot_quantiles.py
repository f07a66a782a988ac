"""
A fan of quantiles
==================

``loss="quantile"`` learns what a share of the targets lies below. Several levels in one
network cannot cross, and two of them are an interval for each row.
"""

import matplotlib.pyplot as plt
import numpy as np

from skmlp import MLPRegressor

rng = np.random.default_rng(0)
x = rng.uniform(0, 10, 3000)
spread = 0.1 + 0.6 * (1 + np.sin(x))
y = np.sin(x / 2) * 3 + spread * rng.gamma(2, 1, len(x))  # skewed, wide here and there
X = x[:, None] / 5 - 1
new = rng.permutation(len(x)) < 1000

levels = [0.05, 0.25, 0.5, 0.75, 0.95]
model = MLPRegressor(
    "quantile",
    hidden_layer_sizes=(50, 50),
    activation="tanh",
    quantile=levels,
    learning_rate="cosine",
    learning_rate_init=0.01,
    max_iter=150,
    random_state=0,
)
model.fit(X[~new], y[~new])

grid = np.linspace(0, 10, 300)
fan = model.predict(grid[:, None] / 5 - 1)
figure, axis = plt.subplots(figsize=(8, 4.5))
axis.scatter(x[new], y[new], s=4, color="0.6")
for low, high, alpha in ((0, 4, 0.2), (1, 3, 0.4)):
    share = levels[high] - levels[low]
    axis.fill_between(
        grid, fan[:, low], fan[:, high], color="C0", alpha=alpha, label=f"{share:.0%}"
    )
axis.plot(grid, fan[:, 2], color="C0", label="median")
axis.set(xlabel="x", ylabel="y", title="Five quantiles of one network")
axis.legend(loc="lower left")
figure.tight_layout()

# %%
# Do they hold on new rows?
# -------------------------
# A level of 5 % should have 5 % of new targets below it. Networks that are large for
# their data learn intervals that are too narrow: look, as here, on rows that were not
# trained on.

below = np.mean(y[new, None] < model.predict(X[new]), axis=0)
for level, share in zip(levels, below, strict=True):
    print(f"level {level:4.0%}: {share:4.0%} of new targets below")
plt.show()
