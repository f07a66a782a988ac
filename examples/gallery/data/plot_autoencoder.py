"""
Features of an autoencoder
==========================

`MLPAutoencoder` learns to give rows back from a few numbers, its code, without a label.
Two numbers make a map of the digits; with the labels as colors, which the network has
not seen, one can tell what it has found. Beside it PCA, which is the best linear map.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from skmlp import MLPAutoencoder

X, digit = load_digits(return_X_y=True)
X = (X / 16).astype(np.float32)
train, test = slice(0, 1400), slice(1400, None)
settings = {
    "activation": "tanh",
    "learning_rate": "one_cycle",
    "learning_rate_init": 0.01,
    "max_iter": 100,
    "batch_size": 50,
    "random_state": 0,
}
maps = {
    "PCA": PCA(2).fit(X[train]),
    "MLPAutoencoder": MLPAutoencoder((100, 2, 100), **settings).fit(X[train]),
}

figure, axes = plt.subplots(1, 2, figsize=(10, 4.6))
for axis, (name, model) in zip(axes, maps.items(), strict=True):
    code = model.transform(X[test])
    error = np.mean((model.inverse_transform(code) - X[test]) ** 2)
    points = axis.scatter(*code.T, c=digit[test], cmap="tab10", s=12)
    axis.set(title=f"{name}: error {error:.4f}", xticks=[], yticks=[])
figure.colorbar(points, ax=axes, ticks=range(10))

# %%
# New digits, given back
# ----------------------
# With more numbers in the code, less is lost.

shown = X[test][:10]
figure, axes = plt.subplots(4, 10, figsize=(9, 4))
panels = {"original": shown}
for n in (2, 5, 10):
    model = MLPAutoencoder((100, n, 100), **settings).fit(X[train])
    panels[f"{n} numbers"] = model.reconstruct(shown)
for row, (name, pictures) in zip(axes, panels.items(), strict=True):
    for axis, picture in zip(row, pictures, strict=True):
        axis.imshow(picture.reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        axis.set(xticks=[], yticks=[])
    row[0].set_ylabel(name, rotation=0, ha="right", va="center")
figure.tight_layout()

# %%
# Rows unlike the others
# ----------------------
# Trained on ones only, it reconstructs sevens badly: ``score_samples`` is minus the
# error.

ones = X[digit == 1]
model = MLPAutoencoder((100, 5, 100), **settings).fit(ones[:120])
scores = [model.score_samples(rows) for rows in (ones[120:], X[digit == 7])]
figure, axis = plt.subplots(figsize=(7, 3))
bins = np.linspace(np.min(scores[1]), 0, 40)
for score, label in zip(scores, ("other ones", "sevens"), strict=True):
    axis.hist(score, bins, alpha=0.7, label=label)
axis.set(xlabel="score", ylabel="digits")
axis.legend()
figure.tight_layout()
plt.show()
