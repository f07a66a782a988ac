"""
Loss curves and early stopping
==============================

The loss on the training data falls for as long as one likes. That on other data turns
around, and early stopping keeps the network of the best epoch. Rows for the judgment
can be passed: at random as here, or the last ones of a time series.
"""

import warnings

import matplotlib.pyplot as plt
from sklearn.datasets import load_breast_cancer
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier

# One of the networks trains for all epochs, whatever its loss does.
warnings.simplefilter("ignore", ConvergenceWarning)

X, y = load_breast_cancer(return_X_y=True)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.3, random_state=1)
scaler = StandardScaler().fit(X)
X, X_test = scaler.transform(X), scaler.transform(X_test)
X_train, X_val, y_train, y_val = train_test_split(
    X, y, test_size=0.3, stratify=y, random_state=0
)

# %%
# Without early stopping validation data are recorded and change nothing. With it and
# ``scoring="loss"`` the training ends 20 epochs after the lowest loss on them.

settings = {"learning_rate_init": 0.005, "max_iter": 60, "tol": 0, "random_state": 0}
network = MLPClassifier((50, 50), n_iter_no_change=60, **settings)
stopped = MLPClassifier(
    (50, 50),
    early_stopping=True,
    scoring="loss",
    n_iter_no_change=20,
    **settings,
)
figure, axes = plt.subplots(1, 2, figsize=(9, 3.8), sharex=True, sharey=True)
titles = ("All epochs", "Early stopping")
for model, title, axis in zip((network, stopped), titles, axes, strict=True):
    model.fit(X_train, y_train, X_val=X_val, y_val=y_val)
    axis.semilogy(model.history_["loss"], label="training")
    axis.semilogy(model.history_["validation_loss"], label="validation")
    axis.set(title=title, xlabel="epoch", ylim=(1e-3, 1))
axes[0].set_ylabel("log-loss")
axes[1].axvline(stopped.best_iter_ - 1, color="0.5", linestyle=":", label="kept")
axes[1].legend()
figure.tight_layout()

# %%
# What it brings on new data
# --------------------------
# Late epochs cost little accuracy, but the network becomes sure of its errors: the
# log-loss of its probabilities rises.

for model, title in zip((network, stopped), titles, strict=True):
    likely = model.predict_log_proba(X_test)
    loss = -likely[range(len(y_test)), y_test].mean()
    print(f"{title}: accuracy {model.score(X_test, y_test):.3f}, log-loss {loss:.3f}")
plt.show()
