"""A grid search over a pipeline in all processes, beside scikit-learn's network.

The small search at the beginning starts joblib's worker processes and lets each of
them load the compiled kernels, which happens once a worker and is printed apart.
"""

import time

from sklearn import neural_network
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

import skmlp

GRID = {
    "mlp__hidden_layer_sizes": [(50,), (100,)],
    "mlp__alpha": [1e-4, 1e-1],
    "mlp__learning_rate_init": [1e-3, 1e-2],
}


def search(library, grid):
    """A search whose networks all converge well before ``max_iter``."""
    network = library.MLPClassifier(max_iter=500, random_state=0)
    pipeline = Pipeline([("scale", StandardScaler()), ("mlp", network)])
    return GridSearchCV(pipeline, grid, cv=3, n_jobs=-1)


def timed(model, X, y):
    start = time.perf_counter()
    model.fit(X, y)
    return time.perf_counter() - start


def warm_up(X, y):
    """Start the workers and have the kernels compiled and loaded."""
    first = {name: values[:1] for name, values in GRID.items()}
    seconds = timed(search(skmlp, first), X, y)
    print(f"starting workers, compiling or loading kernels: {seconds:.2f} s")


def main():
    X, y = load_digits(return_X_y=True)
    warm_up(X, y)
    seconds = {}
    for library in (skmlp, neural_network):
        name = library.__name__.split(".")[0]
        model = search(library, GRID)
        seconds[name] = timed(model, X, y)
        print(f"{name}: best score {model.best_score_:.4f}, {seconds[name]:.2f} s")
        print(f"  best parameters {model.best_params_}")
    ratio = seconds["sklearn"] / seconds["skmlp"]
    print(f"The search with skmlp is {ratio:.1f} times as fast")


if __name__ == "__main__":
    main()
