"""
Class weights and thresholds
============================

Two rows in a hundred are positive. Class weights, a lower threshold and
``logit_adjustment`` all find more of them, at the price of more false alarms. What they
do not do alike: only weights change the probabilities.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import make_classification
from sklearn.metrics import precision_recall_curve
from sklearn.model_selection import train_test_split

from skmlp import MLPClassifier

X, y = make_classification(
    12_000,
    20,
    n_informative=6,
    weights=[0.98],
    class_sep=1.3,
    flip_y=0.005,
    random_state=0,
)
X, X_test, y, y_test = train_test_split(X, y, test_size=0.5, stratify=y, random_state=0)
settings = {
    "weight_decay": 0.3,
    "learning_rate": "cosine",
    "learning_rate_init": 0.003,
    "max_iter": 30,
    "random_state": 0,
}
models = {
    "no weights": MLPClassifier((32,), **settings),
    "class_weight='balanced'": MLPClassifier(
        (32,), class_weight="balanced", **settings
    ),
    "logit_adjustment=1": MLPClassifier((32,), logit_adjustment=1, **settings),
}
for model in models.values():
    model.fit(X, y)

# %%
# A curve a model, a point where its ``predict`` decides. An adjustment moves the point
# along the curve. Weights move it, too, and cost some of the ranking here: the hundred
# positives are seen so often that they are learned by heart.

figure, axis = plt.subplots(figsize=(6.5, 4.5))
for name, model in models.items():
    precision, recall, _ = precision_recall_curve(
        y_test, model.predict_proba(X_test)[:, 1]
    )
    (line,) = axis.plot(recall, precision, label=name)
    found = model.predict(X_test) == 1
    axis.plot(
        np.mean(found[y_test == 1]),
        np.mean(y_test[found]),
        "o",
        color=line.get_color(),
        markersize=9,
    )
axis.set(xlabel="recall: positives that are found")
axis.set(ylabel="precision: alarms that are right", ylim=(0, 1.02))
axis.legend()
figure.tight_layout()

# %%
# Probabilities
# -------------
# With weights a positive seems much more frequent than it is. ``logit_adjustment``
# moves decisions only, and the mean of its probabilities stays at the share.

print(f"{'share of positives':>26}: {y_test.mean():.3f}")
for name, model in models.items():
    print(f"{name:>26}: {model.predict_proba(X_test)[:, 1].mean():.3f} on average")

# %%
# Costs decide the threshold
# --------------------------
# A missed positive costs as much as 30 false alarms, say. With probabilities that can
# be believed the best threshold is known without a search: 1 / 31.

likely = models["no weights"].predict_proba(X_test)[:, 1]
thresholds = np.logspace(-3, -0.01, 200)
costs = [
    (30 * np.sum((likely < t) & (y_test == 1)) + np.sum((likely >= t) & (y_test == 0)))
    for t in thresholds
]
figure, axis = plt.subplots(figsize=(6.5, 3.5))
axis.semilogx(thresholds, costs)
axis.axvline(1 / 31, color="C1", linestyle="--", label="1 / 31")
axis.axvline(0.5, color="0.5", linestyle=":", label="1 / 2")
axis.set(xlabel="threshold", ylabel="costs on new rows")
axis.legend()
figure.tight_layout()
plt.show()
