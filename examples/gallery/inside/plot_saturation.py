"""
Why the squared error saturates
===============================

A probability p = 1 / (1 + exp(-z)) is learned by its logit z. The gradient of the
cross-entropy by z is p - y: the larger the error, the larger the step. That of the
squared error is (p - y) p (1 - p), which is next to nothing where the network is sure
and wrong: there it hardly learns.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_blobs

from skmlp import MLPClassifier

z = np.linspace(-8, 8, 400)
p = 1 / (1 + np.exp(-z))
losses = {"log_loss": (-np.log(p), p - 1), "squared_error": ((p - 1) ** 2 / 2, None)}
losses["squared_error"] = (losses["squared_error"][0], (p - 1) * p * (1 - p))

figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
for name, (loss, gradient) in losses.items():
    axes[0].plot(z, loss, label=name)
    axes[1].plot(z, np.abs(gradient), label=name)
axes[0].set(title="Loss of a row with y = 1", xlabel="logit z")
axes[1].set(title="Size of its gradient by z", xlabel="logit z")
for axis in axes:
    axis.axvspan(-8, -3, color="C3", alpha=0.1)
axes[1].text(-7.8, 0.5, "sure\nand\nwrong", color="C3")
axes[0].legend()
figure.tight_layout()

# %%
# A network that begins sure and wrong
# ------------------------------------
# ``weight_init`` may be the weights themselves. This linear model begins with a bias of
# -6, so that it says "no" to every row, of which half are "yes".

X, y = make_blobs(400, centers=[[-2, 0], [2, 0]], random_state=0)
figure, axis = plt.subplots(figsize=(7, 3.6))
for loss in ("log_loss", "squared_error"):
    model = MLPClassifier(
        (),
        loss=loss,
        solver="sgd",
        learning_rate_init=0.1,
        momentum=0,
        weight_init=([np.zeros((2, 1))], [np.array([-6.0])]),
        random_state=0,
    )
    found = []
    for _ in range(60):
        model.partial_fit(X, y, classes=[0, 1])
        found.append(model.predict_proba(X[y == 1])[:, 1].mean())
    axis.plot(range(1, 61), found, label=loss)
axis.set(xlabel="epoch", ylabel="mean probability of true rows", ylim=(0, 1))
axis.set_title("The squared error stays where it began")
axis.legend()
figure.tight_layout()
plt.show()
