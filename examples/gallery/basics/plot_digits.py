"""
Handwritten digits
==================

The classic: a network with one hidden layer reads digits of 8 × 8 pixels. What it
learns is visible: the weights of a hidden unit are a picture of what it looks for.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import train_test_split

from skmlp import MLPClassifier

digits = load_digits()
X, y = digits.data / 16, digits.target
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
model = MLPClassifier(
    (32,),
    alpha=1.0,
    learning_rate="cosine",
    learning_rate_init=0.01,
    max_iter=60,
    random_state=0,
)
model.fit(X_train, y_train)
print(f"accuracy on new digits: {model.score(X_test, y_test):.3f}")

# %%
# The digits that it gets wrong
# -----------------------------
# Most of them are hard to read, and the network knows: their probability is low.

predicted = model.predict(X_test)
probability = model.predict_proba(X_test).max(axis=1)
wrong = np.flatnonzero(predicted != y_test)[:8]
figure, axes = plt.subplots(1, len(wrong), figsize=(9, 2))
for axis, i in zip(axes, wrong, strict=True):
    axis.imshow(X_test[i].reshape(8, 8), cmap="gray_r")
    axis.set_title(f"{y_test[i]}, read as {predicted[i]}\n{probability[i]:.0%}", size=9)
    axis.axis("off")
figure.tight_layout()

# %%
# What the hidden units look for
# ------------------------------
# Blue pixels excite a unit, red ones silence it. Those at the rim are white in every
# training row, so that nothing but the penalty ``alpha`` acts on their weights. Pale
# units are hardly used.

figure, axes = plt.subplots(4, 8, figsize=(8, 4.2))
limit = np.abs(model.coefs_[0]).max()
for axis, weights in zip(axes.flat, model.coefs_[0].T, strict=True):
    axis.imshow(weights.reshape(8, 8), cmap="RdBu", vmin=-limit, vmax=limit)
    axis.axis("off")
figure.suptitle("Weights of the 32 hidden units")
figure.tight_layout()

# %%
# Which digits are confused
# -------------------------

ConfusionMatrixDisplay.from_predictions(y_test, predicted, colorbar=False)
plt.show()
