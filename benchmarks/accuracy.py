"""Seconds to the same test accuracy on Fashion-MNIST, beside scikit-learn.

An epoch that is faster is worth nothing if more of them are needed. Here both libraries
train one hidden layer of 128 units by adam from the same `random_state` on pixels in
[0, 1], in single precision, for the same number of epochs; then each predicts the test
set. They compute the same numbers up to rounding, hence reach the same accuracy after
the same epochs, and the ratio of their times is that of reaching it.

With ``--data`` the images are 60,000 of Fashion-MNIST; without, scikit-learn's digits,
1,347 images of 8 x 8, where a fit is over in a moment.
"""

import joblib
import numpy as np
import peers
import real_data
import reporting
import timing
import workloads
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

_GOAL = 3.0
_UNITS, _BATCH = 128, 200
_EPOCHS, _QUICK_EPOCHS = (1, 5, 10, 20), (1, 3)
# Test accuracies that are this near each other are those of the same network, rounded.
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


class Trainee:
    """One library's fits for a number of epochs, and what the last one has learnt."""

    def __init__(self, peer, epochs):
        self._peer = peer
        self._epochs = epochs
        self._estimator = None

    def fit(self):
        """Train a new estimator, which takes the place of the last."""
        self._estimator = self._peer.train(self._epochs)

    def accuracy(self, test):
        """Share of the test rows whose label the last estimator predicts."""
        return float(self._estimator.score(*test))


def measure(train, test, epochs, rounds):
    """Seconds and accuracies after some epochs.

    Returns
    -------
    dict
    """
    X, y = train
    workload = workloads.Workload(
        "multiclass", X.shape[1], (_UNITS,), 10, "relu", _BATCH, len(X), epochs
    )
    trainees = {
        peer.name: Trainee(peer(workload, X, y, joblib.cpu_count()), epochs)
        for peer in (peers.Skmlp, peers.ScikitLearn)
    }
    fits = {name: trainee.fit for name, trainee in trainees.items()}
    seconds = timing.medians_in_turns(fits, rounds)
    accuracies = {name: trainee.accuracy(test) for name, trainee in trainees.items()}
    ours, theirs = accuracies.values()
    return {
        "epochs": epochs,
        "seconds": seconds,
        "accuracy": accuracies,
        "ratio": seconds["sklearn"] / seconds["skmlp"],
        "same_accuracy": abs(ours - theirs) <= _SAME,
    }


def line(entry):
    """One line of the table."""
    columns = [f"{entry['epochs']:>6}"]
    for name, seconds in entry["seconds"].items():
        columns.append(f"{seconds:>10.3f} s{entry['accuracy'][name]:>10.4f}")
    columns.append(reporting.against(entry["ratio"], _GOAL))
    return "".join(columns) + ("" if entry["same_accuracy"] else "  ACCURACIES DIFFER")


def run(wanted):
    """Measure all numbers of epochs, printing as they go.

    Returns
    -------
    dict
        All that was found, fit for JSON.
    """
    report = reporting.start() | {"options": vars(wanted), "goal": _GOAL}
    train, test = images(wanted.data)
    name = "Fashion-MNIST" if wanted.data else "digits"
    print(
        f"{name}, {train[0].shape[0]:,} x {train[0].shape[1]} in float32, {_UNITS} "
        f"units; median of {wanted.rounds}; accuracy on {len(test[1]):,} test rows\n"
    )
    print(
        f"{'epochs':>6}{'skmlp':>12}{'accuracy':>10}{'sklearn':>12}{'accuracy':>10}"
        f"{'ratio':>8}{'goal':>8}"
    )
    report["results"] = []
    for epochs in wanted.epochs:
        report["results"].append(measure(train, test, epochs, wanted.rounds))
        print(line(report["results"][-1]), flush=True)
    return report


def main():
    reporting.main(
        __doc__,
        run,
        quick="3 epochs at most, one round",
        data={"metavar": "FOLDER", "help": "with load.py and the images"},
        epochs={
            "type": int,
            "nargs": "+",
            "help": "default 1 5 10 20",
            "full": _EPOCHS,
            "brief": _QUICK_EPOCHS,
        },
        rounds={"type": int, "help": "default 3", "full": 3, "brief": 1},
    )


if __name__ == "__main__":
    main()
