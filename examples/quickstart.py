"""Both estimators on real data, beside scikit-learn on the same data.

Only the class differs between the two: same parameters, same ``random_state``, hence
the same fitted network. The kernels are compiled (or loaded, after the first time) by
a fit of a few rows, whose time is printed apart; the ratios are those of ready kernels.
"""

import statistics
import time
import warnings

from sklearn import neural_network
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import skmlp

ROUNDS = 3


def classifier(library):
    """Pipeline for the digits."""
    network = library.MLPClassifier(
        hidden_layer_sizes=(100,),
        learning_rate_init=0.003,
        max_iter=400,
        random_state=0,
    )
    return make_pipeline(MinMaxScaler(), network)


def regressor(library):
    """Pipeline for the diabetes data; the target is scaled like the features."""
    network = library.MLPRegressor(
        hidden_layer_sizes=(50,),
        alpha=1.0,
        batch_size=64,
        max_iter=500,
        random_state=0,
    )
    pipeline = make_pipeline(StandardScaler(), network)
    return TransformedTargetRegressor(pipeline, transformer=StandardScaler())


def seconds_of_fit(model, X, y):
    start = time.perf_counter()
    model.fit(X, y)
    return time.perf_counter() - start


def warm_up(model, X, y):
    """Compile what a fit of this model needs, on a few rows."""
    with warnings.catch_warnings():
        # So few rows need not converge; this fit is thrown away.
        warnings.simplefilter("ignore", ConvergenceWarning)
        seconds = seconds_of_fit(model, X[:64], y[:64])
    print(f"  compiling or loading the kernels: {seconds:.2f} s, once a process")


def compare(title, score_name, make, X, y):
    """Fit with both libraries in turn and print scores, seconds and the ratio."""
    print(title)
    warm_up(make(skmlp), X, y)
    parts = train_test_split(X, y, test_size=0.25, random_state=0)
    X_train, X_test, y_train, y_test = parts
    models = {"skmlp": make(skmlp), "scikit-learn": make(neural_network)}
    times = {name: [] for name in models}
    for _ in range(ROUNDS):
        for name, model in models.items():
            times[name].append(seconds_of_fit(model, X_train, y_train))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, model in models.items():
        score = model.score(X_test, y_test)
        print(f"  {name:<13}{score_name} {score:.4f}  fit {medians[name]:.3f} s")
    ratio = medians["scikit-learn"] / medians["skmlp"]
    print(f"  skmlp is {ratio:.1f} times as fast")


def main():
    X, y = load_digits(return_X_y=True)
    compare("MLPClassifier, digits", "accuracy", classifier, X, y)
    X, y = load_diabetes(return_X_y=True)
    compare("MLPRegressor, diabetes", "R2", regressor, X, y)


if __name__ == "__main__":
    main()
