"""What it costs to score an epoch on held-out rows, beside the epoch.

A network of 100 units on 10,000 and 20,000 rows, a tenth as many held out. For each
scorer by name: a call of scikit-learn's scorer, which predicts and validates, and the
same number from the outputs that the validation loss is computed from anyway; beside
them an epoch of training, which takes longer than any of its scores should.
"""

import functools
import warnings

import numpy as np
import scenario
import timing
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer

import skmlp
from skmlp.estimators.epoch_scores import epoch_scorer
from skmlp.rules.activations import IDENTITY

_UNITS = (100,)
# Rows, features, and classes; or labels, where they may occur together.
_WORKLOADS = {
    "10,000 x 30, 2 classes": (10_000, 30, 2, False),
    "20,000 x 20, 2 classes": (20_000, 20, 2, False),
    "10,000 x 30, 5 classes": (10_000, 30, 5, False),
    "10,000 x 30, 14 labels": (10_000, 30, 14, True),
}
_OF_ALL = ("accuracy", "average_precision", "f1_macro", "recall_macro")
_OF_CLASSES = ("balanced_accuracy", "neg_log_loss", "roc_auc_ovr")
_CALLS = 20


def target(X, n_classes, is_multilabel):
    """Classes of which the last ones are rare, or labels."""
    rng = np.random.default_rng(1)
    if is_multilabel:
        noise = rng.normal(size=(len(X), n_classes))
        scores = X @ rng.normal(size=(X.shape[1], n_classes)) + 3 * noise
        return (scores > 7).astype(int)
    score = X[:, 0] + rng.normal(size=len(X))
    if n_classes == 2:
        return (score > 2).astype(int)
    return np.digitize(score, np.linspace(-1, 2, n_classes - 1))


def setup(options):
    """Print the heading."""
    print(f"{_UNITS[0]} units, Adam, float64; milliseconds, medians")
    header = f"{'':<26}{'scorer':<20}{'epoch':>9}{'scorer':>9}{'outputs':>9}"
    print(header + "   scorer/epoch  outputs/epoch")


def measure(state, options):
    """Yield an entry for each scorer of each workload."""
    for name, (n_rows, n_features, n_classes, is_multilabel) in _WORKLOADS.items():
        n_held_out = n_rows // 10
        X = np.random.default_rng(0).normal(size=(n_rows + n_held_out, n_features))
        y = target(X, n_classes, is_multilabel)
        model = skmlp.MLPClassifier(_UNITS, max_iter=options.epochs, random_state=0)
        model.set_params(n_iter_no_change=np.inf)
        fit = functools.partial(model.fit, X[n_held_out:], y[n_held_out:])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            seconds = timing.medians_in_turns({"fit": fit}, options.rounds)["fit"]
        epoch = seconds / options.epochs
        held_out = X[:n_held_out], y[:n_held_out]
        for scorer in _OF_ALL if is_multilabel else (*_OF_ALL, *_OF_CLASSES):
            times = times_of(scorer, model, held_out, options.rounds)
            yield {"workload": name, "scorer": scorer, "epoch": epoch, **times}


def times_of(name, model, held_out, rounds):
    """Seconds of a score by the scorer and from the outputs."""
    X, y = held_out
    scorer, labels = get_scorer(name), model._labels
    raw, activated = model._outputs(X, IDENTITY), model._outputs(X)
    score = epoch_scorer(scorer, labels, labels.encode(y, X.dtype), None)
    calls = {
        "by_scorer": lambda: scorer(model, X, y),
        "by_outputs": lambda: score(model, raw, activated, model.out_activation_),
    }
    by_scorer, by_outputs = (call() for call in calls.values())
    assert abs(by_scorer - by_outputs) < 1e-12, (name, by_scorer, by_outputs)
    repeated = {
        key: functools.partial(timing.seconds_of, call, _CALLS)
        for key, call in calls.items()
    }
    found: dict[str, list[float]] = {key: [] for key in calls}
    for _ in range(rounds):
        for key, call in repeated.items():
            found[key].append(call())
    return {key: float(np.median(times)) for key, times in found.items()}


def line(entry):
    """One entry as a line of the table."""
    epoch, times = entry["epoch"], (entry["by_scorer"], entry["by_outputs"])
    columns = "".join(f"{1e3 * seconds:9.2f}" for seconds in (epoch, *times))
    ratios = "".join(f"{seconds / epoch:15.3f}" for seconds in times)
    return f"{entry['workload']:<26}{entry['scorer']:<20}{columns}{ratios}"


SCENARIO = scenario.Scenario(
    doc=__doc__,
    quick="1 round, 3 epochs",
    setup=setup,
    measure=measure,
    line=line,
    options={
        "epochs": {"type": int, "full": 20, "brief": 3},
        "rounds": scenario.rounds(5, 1),
    },
    goal=1,
)


if __name__ == "__main__":
    SCENARIO.main()
