"""A user's script, checked by mypy --strict and by pyright; it is not run.

What is right must pass. What is wrong is marked, and a mark that is not needed is an
error, too.
"""

from typing import assert_type

import numpy as np

import skmlp
from skmlp import (
    Activation,
    Loss,
    MLPAutoencoder,
    MLPClassifier,
    MLPRegressor,
    TabularMLPClassifier,
    TabularMLPRegressor,
)
from skmlp.exceptions import PoorFitWarning

X: np.ndarray = np.random.default_rng(0).standard_normal((50, 4))
y: np.ndarray = (X[:, 0] > 0).astype(int)

model = MLPClassifier(
    (20, 10),
    ["relu", "tanh"],
    batch_size=32,
    dropout=[0.1, 0.2],
    class_weight={0: 1.0, 1: 2.0},
    random_state=np.random.RandomState(0),
    n_iter_no_change=np.inf,
    dtype=np.float32,
    scoring="balanced_accuracy",
    normalization="batch",
    n_jobs=-1,
    verbose=2,
)
fitted: MLPClassifier = model.fit(X, y, X_val=X, y_val=y)
assert_type(model.score(X, y), float)
print(fitted.predict(X), model.predict_proba(X)[:, 1], model.coefs_[0].shape)
print(model.history_["loss"][-1], model.n_iter_ + 1, model.loss_curve_[-1])

MLPClassifier(np.array([20, 10]), batch_size="auto", class_weight="balanced")
regressor = MLPRegressor("quantile", 50, quantile=[0.1, 0.9], scale_target=True)
regressor.set_params(alpha=1.0).partial_fit(X, X[:, 0]).resume(X, X[:, 0])
mean, std = MLPRegressor("gaussian_nll").fit(X, y).predict(X, return_std=True)
codes = MLPAutoencoder((8, 2, 8)).fit(X).transform(X)
tabular: TabularMLPClassifier = TabularMLPClassifier("fast", max_time=10).fit(X, y)
tabular.predict_proba(X)
TabularMLPRegressor(mlp_params={"max_iter": 30}, n_jobs=2)

own = Activation("own", np.sin, np.cos, slope_of="input")
loss = Loss("half", "identity", lambda y, z: 0.5 * (y - z) ** 2, lambda y, z: z - y)
MLPRegressor(loss, activation=own, max_grad_norm=1)
skmlp.precompile(dtype="float32")
print(skmlp.diagnose(model, X), skmlp.__version__, PoorFitWarning, mean, std, codes)

MLPClassifier(device=3)  # type: ignore[arg-type]
MLPClassifier(batch_size="all")  # type: ignore[arg-type]
MLPRegressor(normalization="batches")  # type: ignore[arg-type]
MLPClassifier().score(X)  # type: ignore[call-arg]
