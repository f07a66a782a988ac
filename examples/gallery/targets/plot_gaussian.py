"""
A spread for every row
======================

``loss="gaussian_nll"`` learns a mean and a standard deviation for each row, by the
likelihood of a normal distribution. ``predict(X, return_std=True)`` returns both.
"""

import matplotlib.pyplot as plt
import numpy as np

from skmlp import MLPRegressor

rng = np.random.default_rng(1)
x = rng.uniform(-3, 3, 1500)
true_std = 0.1 + 0.4 / (1 + np.exp(-3 * x))
y = np.sin(2 * x) + rng.normal(0, true_std)

model = MLPRegressor(
    "gaussian_nll",
    hidden_layer_sizes=(30, 30),
    activation="tanh",
    learning_rate="cosine",
    learning_rate_init=0.01,
    max_iter=200,
    random_state=0,
)
model.fit(x[:, None], y)
grid = np.linspace(-3, 3, 300)
mean, std = model.predict(grid[:, None], return_std=True)

figure, axes = plt.subplots(2, 1, figsize=(8, 6), sharex=True, height_ratios=(3, 1))
axes[0].scatter(x, y, s=4, color="0.6")
axes[0].plot(grid, mean, label="mean")
for width, alpha in ((2, 0.2), (1, 0.3)):
    low, high = mean - width * std, mean + width * std
    label = f"± {width} standard deviation{'s' if width > 1 else ''}"
    axes[0].fill_between(grid, low, high, color="C0", alpha=alpha, label=label)
axes[0].legend(loc="lower left")
axes[0].set(ylabel="y", title="Mean and spread of one network")
axes[1].plot(grid, std, label="learned")
axes[1].plot(grid, 0.1 + 0.4 / (1 + np.exp(-3 * grid)), "--", color="0.4", label="true")
axes[1].set(xlabel="x", ylabel="standard deviation", ylim=(0, 0.7))
axes[1].legend()
figure.tight_layout()

# %%
# If the spread is right, the standardized errors are normal: 68 % of them are below
# one.

mean, std = model.predict(x[:, None], return_std=True)
z = np.abs(y - mean) / std
print(f"below one: {np.mean(z < 1):.0%}, below two: {np.mean(z < 2):.0%}")
plt.show()
