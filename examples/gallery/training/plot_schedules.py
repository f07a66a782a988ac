"""
Schedules of the learning rate
==============================

A rate that is good at the beginning is too large at the end. A schedule lowers it.
The rate that was used stands in ``history_``, beside the loss.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_diabetes
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skmlp import MLPRegressor

# All take a hundred epochs, for the picture.
warnings.simplefilter("ignore", ConvergenceWarning)

X, y = load_diabetes(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
scaler = StandardScaler().fit(X_train)
X_train, X_test = scaler.transform(X_train), scaler.transform(X_test)
schedules = {
    "constant": {},
    "exponential": {"decay_epochs": 40},
    "step": {"decay_epochs": 35},
    "plateau": {"plateau_patience": 8, "tol": 1e-3},
    "cosine": {},
    "flat_cosine": {},
    "one_cycle": {},
    "coslog": {},
}
figure, axes = plt.subplots(2, 4, figsize=(10, 4.4), sharex=True, sharey=True)
losses = {}
for axis, (name, settings) in zip(axes.flat, schedules.items(), strict=True):
    model = MLPRegressor(
        hidden_layer_sizes=(20,),
        activation="tanh",
        solver="sgd",
        alpha=1.0,
        batch_size=8,
        learning_rate=name,
        learning_rate_init=0.03,
        max_iter=100,
        n_iter_no_change=np.inf,
        scale_target=True,
        random_state=0,
    )
    model.set_params(**settings).fit(X_train, y_train)
    axis.plot(model.history_["learning_rate"])
    axis.set_title(f"{name}: R² {model.score(X_test, y_test):.2f}")
    losses[name] = model.history_["loss"]
for axis in axes[-1]:
    axis.set_xlabel("epoch")
figure.supylabel("learning rate")
figure.tight_layout()

# %%
# The figure above each curve is R² on new patients. The training loss, a mean of five
# epochs, shows the steps: where the rate falls, so does the loss.

figure, axis = plt.subplots(figsize=(8, 4))
for name, loss in losses.items():
    axis.plot(np.convolve(loss, np.ones(5) / 5, mode="valid"), label=name)
axis.set(xlabel="epoch", ylabel="training loss", ylim=(0.28, 0.36))
axis.legend(ncols=2)
figure.tight_layout()

# %%
# ``warmup_epochs`` raises the rate from zero first, and ``learning_rate_factors``
# gives layers rates of their own.
plt.show()
