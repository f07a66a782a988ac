"""
A grid search with a progress bar
=================================

A pipeline of scaler and network in scikit-learn's own search, two fits
at a time. scikit-learn's callbacks show how far it is.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler

from skmlp import MLPClassifier

X, y = load_digits(return_X_y=True)
network = MLPClassifier((50,), learning_rate="cosine", max_iter=40, random_state=0)
pipeline = Pipeline(
    [
        ("scale", MinMaxScaler()),
        ("network", network),
    ]
)
grid = {
    "network__learning_rate_init": [1e-3, 3e-3, 1e-2, 3e-2],
    "network__alpha": [1e-4, 1e-2, 1, 10],
}
search = GridSearchCV(pipeline, grid, cv=3, n_jobs=2)

# %%
# The progress bar is one of the callbacks that came with scikit-learn 1.9, and draws
# itself by the package ``rich``. ``max_propagation_depth`` says how many levels get a
# bar: here the search and its fits, without their steps.

if hasattr(search, "set_callbacks"):
    from sklearn.callback import ProgressBar

    search.set_callbacks(ProgressBar(max_propagation_depth=1))
search.fit(X, y)
print(search.best_params_, f"accuracy {search.best_score_:.3f}")

# %%
# The grid as a picture
# ---------------------

scores = search.cv_results_["mean_test_score"].reshape(4, 4)
figure, axis = plt.subplots(figsize=(6, 4.5))
image = axis.imshow(scores, cmap="YlGn", vmin=0.82, vmax=1.0)
for (i, j), score in np.ndenumerate(scores):
    axis.text(j, i, f"{score:.3f}", ha="center", va="center", color="black")
axis.set(xlabel="learning_rate_init", ylabel="alpha")
axis.set(xticks=range(4), xticklabels=grid["network__learning_rate_init"])
axis.set(yticks=range(4), yticklabels=grid["network__alpha"])
figure.colorbar(image, label="accuracy")
figure.tight_layout()
plt.show()
