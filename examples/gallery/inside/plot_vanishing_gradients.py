"""
Gradients that vanish, layer by layer
=====================================

On its way back a gradient is multiplied by the slope of each layer. That of the
logistic function is 1/4 at most, so that after a dozen layers nothing is left, and the
first ones do not learn. `skmlp.diagnose` shows the size of the gradient at each layer.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

import skmlp
from skmlp import MLPClassifier

# Twenty epochs do not suffice, and one of the networks learns nothing: fit says so.
warnings.simplefilter("ignore", ConvergenceWarning)
warnings.simplefilter("ignore", skmlp.exceptions.PoorFitWarning)

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X / 16, y, random_state=0)
deep = [50] * 12

figure, axes = plt.subplots(1, 2, figsize=(9, 4), width_ratios=(3, 2))
scores = {}
for activation in ("logistic", "tanh", "relu", "gelu"):
    # A learning rate of next to nothing: the network as it is drawn.
    start = MLPClassifier(deep, activation, learning_rate_init=1e-12, random_state=0)
    start.partial_fit(X_train, y_train, classes=np.unique(y))
    table = skmlp.diagnose(start, X_train[:500], y_train[:500])
    axes[0].semilogy(
        [row.layer + 1 for row in table.rows],
        [row.gradient for row in table.rows],
        marker="o",
        label=activation,
    )
    model = MLPClassifier(deep, activation, max_iter=20, random_state=0)
    scores[activation] = model.fit(X_train, y_train).score(X_test, y_test)
axes[0].set(xlabel="hidden layer", title="Gradient before any training")
axes[0].legend()
axes[1].barh(list(scores), list(scores.values()), color=["C0", "C1", "C2", "C3"])
axes[1].set(xlim=(0, 1), title="Accuracy after 20 epochs")
axes[1].invert_yaxis()
figure.tight_layout()

# %%
# The table has more than the gradient: saturated units, the spread of the outputs, the
# slope by which each layer multiplies. This is the network with 'gelu' before training:

print(table)

# %%
# Normalization against it
# ------------------------
# ``normalization="batch"`` and ``"layer"`` bring the inputs of each layer back to where
# the function is steep, and even the logistic function learns.

for normalization in (None, "batch", "layer"):
    model = MLPClassifier(
        deep, "logistic", normalization=normalization, max_iter=20, random_state=0
    )
    accuracy = model.fit(X_train, y_train).score(X_test, y_test)
    print(f"{normalization!s:>6}: accuracy {accuracy:.2f}")
plt.show()
