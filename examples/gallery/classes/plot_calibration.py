"""
Calibration
===========

Of the rows with a probability of 70 %, are 70 % positive? A network that has trained
for too long is too sure. Early stopping by the loss, a penalty, or a calibration
afterwards mend that.
"""

import matplotlib.pyplot as plt
from sklearn.calibration import CalibratedClassifierCV, CalibrationDisplay
from sklearn.datasets import make_classification
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split

from skmlp import MLPClassifier

X, y = make_classification(
    4000, 20, n_informative=5, class_sep=0.6, flip_y=0.1, random_state=0
)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, random_state=0)
settings = {
    "hidden_layer_sizes": (100, 50),
    "learning_rate": "one_cycle",
    "learning_rate_init": 0.005,
    "max_iter": 60,
    "random_state": 0,
}
long = MLPClassifier(**settings)
models = {
    "trained for long": long,
    "early stopping by the loss": MLPClassifier(
        **{**settings, "learning_rate": "constant", "learning_rate_init": 0.001},
        early_stopping=True,
        scoring="loss",
    ),
    "weight_decay=3": MLPClassifier(**settings, weight_decay=3.0),
    "calibrated afterwards": CalibratedClassifierCV(long, cv=3),
}

figure, axes = plt.subplots(1, 2, figsize=(10, 4.6), width_ratios=(3, 2))
losses = {}
for name, model in models.items():
    model.fit(X, y)
    CalibrationDisplay.from_estimator(
        model, X_test, y_test, n_bins=10, name=name, ax=axes[0]
    )
    losses[name] = log_loss(y_test, model.predict_proba(X_test))
    print(f"{name:>26}: accuracy {model.score(X_test, y_test):.3f}")
axes[0].set(xlabel="probability", ylabel="share of positives")
colors = [f"C{i}" for i in range(len(losses))]
axes[1].barh(list(losses), list(losses.values()), color=colors)
axes[1].set(title="log-loss on new rows")
axes[1].invert_yaxis()
figure.tight_layout()
plt.show()
