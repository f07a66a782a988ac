"""From a split to a report: a rare class from the first line to the last.

Digits, of which one is rare. Stratified folds compare remedies on the training rows; a
threshold is tuned on them; a test set that nothing was chosen by gives the report. Its
micro, macro and weighted averages are explained by its numbers, and the
precision-recall curve is drawn where matplotlib is installed.
"""

import importlib.util
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import PrecisionRecallDisplay, classification_report
from sklearn.model_selection import (
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_validate,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skmlp import MLPClassifier

RARE, N_RARE = 8, 50
PICTURE = Path("precision_recall.png")
REMEDIES = {
    "no remedy": {},
    "class_weight='balanced'": {"class_weight": "balanced"},
    "sampling='balanced'": {"sampling": "balanced"},
}
FOLDS = StratifiedKFold(5, shuffle=True, random_state=0)


def digits():
    """All digits, but few of the rare one."""
    X, y = load_digits(return_X_y=True)
    rows = np.flatnonzero(y != RARE)
    rows = np.append(rows, np.flatnonzero(y == RARE)[:N_RARE])
    return X[rows], y[rows]


def network(**remedy):
    """Scaled pixels and a small network."""
    mlp = MLPClassifier((32,), max_iter=500, tol=1e-3, random_state=0, **remedy)
    return make_pipeline(StandardScaler(), mlp)


def chosen_remedy(X, is_rare):
    """The remedy with the best average precision in the folds."""
    scores = {}
    print(f"{'':26}average precision   balanced accuracy")
    for name, remedy in REMEDIES.items():
        found = cross_validate(
            network(**remedy),
            *(X, is_rare),
            cv=FOLDS,
            scoring=["average_precision", "balanced_accuracy"],
        )
        precision = found["test_average_precision"]
        accuracy = found["test_balanced_accuracy"].mean()
        scores[name] = precision.mean()
        print(
            f"{name:26}{precision.mean():.3f} ± {precision.std():.3f}       "
            f"{accuracy:.3f}"
        )
    best = max(scores, key=scores.get)
    print(f"chosen by average precision: {best}\n")
    return REMEDIES[best]


def explain(report):
    """The averages of a report, from its rows."""
    rows = {name: row for name, row in report.items() if name.isdigit()}
    recalls = {name: row["recall"] for name, row in rows.items()}
    supports = {name: row["support"] for name, row in rows.items()}
    n_rows = sum(supports.values())
    right = sum(recalls[name] * supports[name] for name in rows)
    print(f"macro recall {np.mean(list(recalls.values())):.3f}: the plain mean of the")
    print(
        f"  {len(rows)} recalls; that of the rare {RARE}, {recalls[str(RARE)]:.2f}, has"
    )
    print(f"  {1 / len(rows):.0%} of the say with {supports[str(RARE)]:.0f} rows.")
    print(f"weighted recall {right / n_rows:.3f}: a recall counts by its rows, so the")
    print(f"  rare one has {supports[str(RARE)] / n_rows:.1%} of the say.")
    print(f"micro recall {right / n_rows:.3f}: all rows in one pot, {right:.0f} of")
    print(
        f"  {n_rows:.0f} right. With one class a row it is the accuracy, and the micro"
    )
    print("  precision, too: each wrong row is a false positive of one class and a")
    print("  false negative of another.\n")


def draw(model, X, is_rare):
    """The precision-recall curve as a picture."""
    if importlib.util.find_spec("matplotlib") is None:
        print("no picture: matplotlib is not installed")
        return
    import matplotlib

    matplotlib.use("agg")
    display = PrecisionRecallDisplay.from_estimator(
        model, X, is_rare, name="network", plot_chance_level=True
    )
    chosen = model.predict(X) == 1
    display.ax_.plot(
        [np.mean(chosen[is_rare == 1])],
        [np.mean(is_rare[chosen])],
        "o",
        label="tuned threshold",
    )
    display.ax_.set_title(f"The rare digit {RARE} on test rows")
    display.ax_.legend(loc="lower left")
    display.figure_.savefig(PICTURE, dpi=100)
    print(f"picture: {PICTURE}")


def main():
    X, y = digits()
    X, X_test, y, y_test = train_test_split(
        X, y, test_size=0.5, stratify=y, random_state=0
    )
    is_rare, is_rare_test = (y == RARE).astype(int), (y_test == RARE).astype(int)
    print(f"{len(y)} training rows, {is_rare.sum()} of them of the rare digit {RARE}\n")

    print("1. Is it the rare digit? Remedies, by stratified folds of the training rows")
    remedy = chosen_remedy(X, is_rare)

    print("2. The threshold, by the same folds, and the report on test rows")
    tuned = TunedThresholdClassifierCV(network(**remedy), scoring="f1", cv=FOLDS)
    tuned.fit(X, is_rare)
    names = ["another digit", f"digit {RARE}"]
    print(f"threshold {tuned.best_threshold_:.3f}")
    print(
        classification_report(is_rare_test, tuned.predict(X_test), target_names=names)
    )

    print("3. Which digit is it? All classes, and what the averages mean")
    model = network(class_weight="balanced").fit(X, y)
    predicted = model.predict(X_test)
    print(classification_report(y_test, predicted))
    explain(classification_report(y_test, predicted, output_dict=True))
    draw(tuned, X_test, is_rare_test)


if __name__ == "__main__":
    main()
