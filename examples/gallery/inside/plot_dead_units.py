"""
Units that die
==============

A relu unit whose input is negative for every row gives 0 for every row, gets no
gradient and stays as it is. Steps that are far too large do that. `fit` warns of it,
and `skmlp.diagnose` counts.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

import skmlp
from skmlp import MLPClassifier

# Here the warnings are what is to be seen, as figures.
warnings.simplefilter("ignore", ConvergenceWarning)
warnings.simplefilter("ignore", skmlp.exceptions.DeadUnitsWarning)
warnings.simplefilter("ignore", skmlp.exceptions.PoorFitWarning)

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)

rates = np.logspace(-3, 0, 7)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharex=True)
for activation in ("relu", "leaky_relu", "gelu"):
    dead, scores = [], []
    for rate in rates:
        model = MLPClassifier(
            (50, 50), activation, learning_rate_init=rate, max_iter=15, random_state=0
        )
        model.fit(X_train, y_train)
        rows = skmlp.diagnose(model, X_train).rows
        dead.append(np.mean([row.dead for row in rows]))
        scores.append(model.score(X_test, y_test))
    axes[0].semilogx(rates, dead, marker="o", label=activation)
    axes[1].semilogx(rates, scores, marker="o", label=activation)
axes[0].set(xlabel="learning rate", title="Share of dead units", ylim=(-0.03, 1))
axes[1].set(xlabel="learning rate", title="Accuracy after 15 epochs", ylim=(0, 1.03))
axes[0].legend()
figure.tight_layout()

# %%
# What it looks like
# ------------------
# The outputs of the first hidden layer for 200 digits, by two learning rates. Black
# columns are units that are 0 for all of them.

figure, axes = plt.subplots(2, 1, figsize=(8, 5), sharex=True)
for rate, axis in zip((0.001, 0.1), axes, strict=True):
    model = MLPClassifier(
        (50, 50), learning_rate_init=rate, max_iter=15, random_state=0
    )
    outputs = model.fit(X_train, y_train).hidden_activations(X_train[:200], layer=0)
    axis.imshow(outputs, aspect="auto", cmap="magma", vmax=np.quantile(outputs, 0.99))
    axis.set(title=f"learning_rate_init={rate}", ylabel="digit")
axes[1].set_xlabel("unit of the first hidden layer")
figure.tight_layout()

# %%
# What to do, in this order: a smaller ``learning_rate_init``, features that are scaled,
# an activation with some slope on the other side ('leaky_relu', 'elu', 'gelu').
plt.show()
