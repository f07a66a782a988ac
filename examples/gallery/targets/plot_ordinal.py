"""
Classes in an order
===================

Small, medium, large: the log-loss does not know that small and large are further apart.
``loss="ordinal"`` learns cumulative logits, of exceeding each class but the last, which
cannot cross. The order is that of an ordered categorical, else of numbers by size.
"""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier

X, progression = load_diabetes(return_X_y=True)
names = ["slow", "moderate", "marked", "fast"]
y = pd.qcut(progression, 4, labels=names)  # an ordered categorical
order = {name: i for i, name in enumerate(names)}

figure, axes = plt.subplots(1, 2, figsize=(9, 4.4))
for loss, axis in zip(("log_loss", "ordinal"), axes, strict=True):
    network = MLPClassifier(
        (20,),
        loss=loss,
        learning_rate="cosine",
        learning_rate_init=0.01,
        max_iter=40,
        random_state=0,
    )
    model = make_pipeline(StandardScaler(), network)
    predicted = cross_val_predict(model, X, y, cv=5)
    steps = np.abs([order[a] - order[b] for a, b in zip(predicted, y, strict=True)])
    ConfusionMatrixDisplay.from_predictions(
        np.asarray(y), predicted, labels=names, colorbar=False, ax=axis
    )
    axis.set_title(
        f"{loss}: {np.mean(steps):.2f} classes off, {np.mean(steps > 1):.0%} by two"
    )
figure.tight_layout()

# %%
# The probabilities of one patient after the other, sorted by what is expected
# ----------------------------------------------------------------------------

model.fit(X, y)
columns = [list(model[-1].classes_).index(name) for name in model[-1].class_order_]
likely = model.predict_proba(X)[:, columns]
likely = likely[np.argsort(likely @ np.arange(4))]
figure, axis = plt.subplots(figsize=(8, 3.5))
axis.stackplot(
    range(len(X)), likely.T, labels=names, colors=plt.cm.viridis([0.1, 0.4, 0.7, 0.95])
)
axis.set(xlim=(0, len(X) - 1), ylim=(0, 1), xlabel="patient", ylabel="probability")
axis.legend(loc="upper left")
figure.tight_layout()
plt.show()
