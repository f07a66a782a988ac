"""
Decision boundaries by activation
=================================

The activation decides what the boundary between two classes is made of: relu cuts the
plane by straight lines, 'tanh' and 'gelu' bend, and 'identity' makes the whole network
a linear model, however many layers it has.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_moons
from sklearn.inspection import DecisionBoundaryDisplay
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier

X, y = make_moons(300, noise=0.2, random_state=0)
X = StandardScaler().fit_transform(X)

colors = np.where(y == 1, "C0", "C3")

activations = ["identity", "relu", "tanh", "logistic", "gelu", "softsign"]
figure, axes = plt.subplots(2, 3, figsize=(9, 6), sharex=True, sharey=True)
for activation, axis in zip(activations, axes.flat, strict=True):
    model = MLPClassifier(
        (10,), activation, solver="lbfgs", alpha=0.1, max_iter=2000, random_state=1
    )
    model.fit(X, y)
    DecisionBoundaryDisplay.from_estimator(
        model,
        X,
        response_method="predict_proba",
        grid_resolution=150,
        cmap="RdBu",
        vmin=0,
        vmax=1,
        alpha=0.4,
        ax=axis,
    )
    axis.scatter(*X.T, c=colors, edgecolor="white", s=20, linewidth=0.5)
    axis.set(title=f"{activation}: accuracy {model.score(X, y):.2f}")
    axis.set(xticks=[], yticks=[])
figure.tight_layout()

# %%
# Layers need not have the same activation: ``activation`` may be a list with one for
# each hidden layer. A second layer puts bends of the first together.

figure, axes = plt.subplots(1, 2, figsize=(7, 3.5), sharey=True)
for activation, axis in zip((["relu"], ["relu", "tanh"]), axes, strict=True):
    sizes = [10] * len(activation)
    model = MLPClassifier(
        sizes, activation, solver="lbfgs", alpha=0.1, max_iter=2000, random_state=1
    )
    DecisionBoundaryDisplay.from_estimator(
        model.fit(X, y),
        X,
        response_method="predict_proba",
        grid_resolution=150,
        cmap="RdBu",
        vmin=0,
        vmax=1,
        alpha=0.4,
        ax=axis,
    )
    axis.scatter(*X.T, c=colors, edgecolor="white", s=20, linewidth=0.5)
    axis.set(title=" → ".join(activation), xticks=[], yticks=[])
figure.tight_layout()
plt.show()
