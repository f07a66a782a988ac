"""Seconds to the same test accuracy on Fashion-MNIST, beside scikit-learn.

A faster epoch is worth nothing if more epochs are needed. Both libraries train one
hidden layer of 128 units by Adam from the same `random_state` on pixels in [0, 1], in
single precision, for the same number of epochs; then each predicts the test set. They
compute the same numbers up to rounding, hence reach the same accuracy after the same
epochs, and the ratio of their times is that of reaching it.

With ``--data`` the images are the 60,000 of Fashion-MNIST; without, scikit-learn's
digits, 1,347 images of 8 x 8, where a fit is over in a moment.
"""

from functools import partial

import joblib
import numpy as np
import peers
import real_data
import scenario
import timing
import workloads
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

_GOAL = 3.0
_UNITS, _BATCH = 128, 200
# Largest difference of test accuracies that rounding explains.
_SAME = 0.005


def images(folder):
    """Pixels in [0, 1] and labels.

    Returns
    -------
    train : (X, y)
    test : (X, y)
    """
    if folder is None:
        X, y = load_digits(return_X_y=True)
        X = (X / 16).astype(np.float32)
        X, X_test, y, y_test = train_test_split(X, y, random_state=0, stratify=y)
        return (X, y), (X_test, y_test)
    bunch = real_data.loader(folder).load("fashion_mnist")
    X, X_test = (
        pixels.astype(np.float32) / 255 for pixels in (bunch.X_train, bunch.X_test)
    )
    return (X, bunch.y_train), (X_test, bunch.y_test)


def compare(train, test, epochs, rounds):
    """Seconds and test accuracies after some epochs.

    Returns
    -------
    dict
    """
    X, _ = train
    workload = workloads.Workload(
        "multiclass", X.shape[1], (_UNITS,), 10, "relu", _BATCH, len(X), epochs
    )
    fitted = {}

    def fit(name, peer):
        fitted[name] = peer.train(epochs)

    both = peers.with_sklearn(workload, train, joblib.cpu_count())
    fits = {name: partial(fit, name, peer) for name, peer in both.items()}
    seconds = timing.medians_in_turns(fits, rounds)
    accuracies = {name: float(fitted[name].score(*test)) for name in both}
    return {
        "epochs": epochs,
        "seconds": seconds,
        "accuracy": accuracies,
        "ratio": seconds["sklearn"] / seconds["skmlp"],
        "same_accuracy": abs(accuracies["skmlp"] - accuracies["sklearn"]) <= _SAME,
    }


def line(entry):
    """One line of the table."""
    columns = [f"{entry['epochs']:>6}"]
    for name, seconds in entry["seconds"].items():
        columns.append(f"{seconds:>10.3f} s{entry['accuracy'][name]:>10.4f}")
    columns.append(scenario.against(entry["ratio"], _GOAL))
    return "".join(columns) + ("" if entry["same_accuracy"] else "  ACCURACIES DIFFER")


def setup(options):
    """Print the heading; training and test images."""
    train, test = images(options.data)
    name = "Fashion-MNIST" if options.data else "digits"
    print(
        f"{name}, {train[0].shape[0]:,} x {train[0].shape[1]} in float32, {_UNITS} "
        f"units; median of {options.rounds}; accuracy on {len(test[1]):,} test rows\n"
    )
    print(
        f"{'epochs':>6}{'skmlp':>12}{'accuracy':>10}{'sklearn':>12}{'accuracy':>10}"
        f"{'ratio':>8}{'goal':>8}"
    )
    return train, test


def measure(data, options):
    """Yield the comparison for each number of epochs."""
    for epochs in options.epochs:
        yield compare(*data, epochs, options.rounds)


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="3 epochs at most, one round",
    setup=setup,
    measure=measure,
    line=line,
    options={
        "data": scenario.folder("the images"),
        "epochs": {"type": int, "nargs": "+", "full": (1, 5, 10, 20), "brief": (1, 3)},
        "rounds": scenario.rounds(3, 1),
    },
    goal=_GOAL,
)


if __name__ == "__main__":
    SCENARIO.main()
