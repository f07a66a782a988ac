"""Random lives of estimators: as scikit-learn's, but for what differences.md says.

`python tests/trust/test_sequences.py 20000` plays as many sequences, from the number
after it on if there is one, in all cores, and lists what cannot be explained.
"""

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))

from sequences import CLASSIFIERS, draw, play
from sklearn import neural_network

import skmlp

THEIRS = (neural_network.MLPClassifier, neural_network.MLPRegressor)
OURS = (skmlp.MLPClassifier, skmlp.MLPRegressor)
PAGE = Path(__file__).parents[2] / "docs" / "differences.md"
N_QUICK, N_SLOW = 40, 300
CHAOS, UNEXPLAINED = "chaos", "unexplained"
# In scikit-learn 1.7.0 early stopping with names as labels ends in a TypeError.
THEIR_FAULT = "a fault of that release"
# The line search of L-BFGS tries points far out, where scikit-learn's loss is flat.
CLIPPED = "test_loss_is_not_clipped"
# A training is chaotic where perturbations of the last digits move scikit-learn by a
# tenth of the difference or more.
N_PERTURBATIONS, SHARE = 6, 0.1


def tolerance(sequence):
    """L-BFGS amplifies rounding in its line search."""
    return 1e-4 if sequence.settings["solver"] == "lbfgs" else 1e-6


def distance(one, other):
    """The largest difference of two outcomes, relative to the arrays' largest."""
    largest = 0.0
    for name, mine in one.found.items():
        theirs = other.found.get(name)
        if theirs is None or mine.shape != theirs.shape:
            return np.inf
        if mine.dtype.kind not in "fiub" or theirs.dtype.kind not in "fiub":
            if not np.array_equal(mine, theirs):
                return np.inf
            continue
        if name == "loss_":
            continue
        if not np.array_equal(np.isfinite(mine), np.isfinite(theirs)):
            return np.inf
        difference = np.abs(np.subtract(mine, theirs, dtype=float))
        scale = max(1e-3, np.max(np.abs(theirs), initial=0.0))
        largest = max(largest, np.max(difference, initial=0.0) / scale)
    return largest


def of_an_error(sequence, number, mine, theirs):
    """The test of the row of differences.md that explains an error, or None."""
    is_ours_alone = theirs.error is None and mine.error is not None
    is_of_partial_fit = sequence.calls[number][0] == "partial_fit"
    if is_ours_alone and is_of_partial_fit and sequence.settings["solver"] == "lbfgs":
        return "test_partial_fit_of_a_regressor_is_absent_with_lbfgs"
    if mine.error is None and "'isnan' not supported" in str(theirs.error):
        return THEIR_FAULT
    loss = theirs.found.get("loss_", 0.0)
    if is_ours_alone and "non-finite" in str(mine.error) and not np.isfinite(loss):
        return "test_divergence_is_noticed_in_its_epoch"
    return None


def has_another_activation(sequence, number):
    """Whether `activation` was set between the last fit and a prediction."""
    names = [name for name, _ in sequence.calls[:number]]
    last = max(i for i, name in enumerate(names) if name.endswith("fit"))
    changes = [what for name, what in sequence.calls[last:number] if name[0] == "s"]
    return any("activation" in change for change in changes)


def of_a_prediction(sequence, number):
    """The test of the row that explains what a network predicts, or None."""
    name = sequence.calls[number][0]
    if name == "predict" and has_another_activation(sequence, number):
        return "test_predictions_are_of_the_fitted_network"
    return None


def judge(number):
    """How a sequence differs from scikit-learn's: a list of reasons."""
    sequence = draw(number)
    expected, found = play(sequence, THEIRS), play(sequence, OURS)
    reasons = []
    for i, (theirs, mine) in enumerate(zip(expected, found, strict=False)):
        name = sequence.calls[i][0]
        if type(theirs.error) is not type(mine.error):
            text = f"{UNEXPLAINED}: {name}: {mine.error!r}, there {theirs.error!r}"
            return [*reasons, of_an_error(sequence, i, mine, theirs) or text]
        far = distance(mine, theirs)
        if far > tolerance(sequence) and of_a_prediction(sequence, i):
            reasons.append(of_a_prediction(sequence, i))
        elif far > tolerance(sequence):
            text = f"{UNEXPLAINED}: {name} is {far:.1e} away"
            if theirs.saturated and sequence.settings["solver"] == "lbfgs":
                text = CLIPPED
            elif far <= moved(sequence, i, expected) / SHARE:
                text = CHAOS
            return [*reasons, text]
        elif not same_loss(mine, theirs, tolerance(sequence)):
            text = f"{mine.found['loss_']}, there {theirs.found['loss_']}"
            text = f"{UNEXPLAINED}: loss_ of {name}: {text}"
            reasons.append(CLIPPED if theirs.saturated else text)
    return reasons


def same_loss(mine, theirs, rtol):
    """Whether the losses of two outcomes agree, if they have some."""
    one, other = mine.found.get("loss_"), theirs.found.get("loss_")
    return one is None or bool(np.isclose(one, other, rtol=rtol, atol=1e-12))


def moved(sequence, number, expected):
    """How far perturbations of X move scikit-learn's outcome of a call."""
    farthest = 0.0
    for seed in range(N_PERTURBATIONS):
        again = play(sequence, THEIRS, np.random.default_rng(seed))
        if len(again) <= number:
            return np.inf
        farthest = max(farthest, distance(again[number], expected[number]))
    return farthest


def judged(numbers):
    """How often each reason occurs, and the sequences that nothing explains."""
    reasons, unexplained = Counter(), []
    for number in numbers:
        for reason in judge(number):
            reasons[reason.partition(":")[0]] += 1
            if reason.startswith(UNEXPLAINED):
                unexplained.append(f"sequence {number}: {reason}")
    return reasons, unexplained


@pytest.mark.parametrize(
    "numbers",
    [range(N_QUICK), pytest.param(range(N_QUICK, N_SLOW), marks=pytest.mark.slow)],
    ids=["quick", "slow"],
)
def test_sequences_equal_those_of_scikit_learn(numbers):
    reasons, unexplained = judged(numbers)
    assert not unexplained
    assert reasons[CHAOS] <= len(numbers) / 20
    page = PAGE.read_text(encoding="utf-8")
    assert all(name in page for name in reasons if name.startswith("test_"))


def test_a_wrong_number_would_be_found(monkeypatch):
    """An estimator with another step is told from scikit-learn's, and not as chaos."""

    class Wrong(skmlp.MLPClassifier):
        def fit(self, X, y, sample_weight=None):
            super().fit(X, y, sample_weight)
            self.coefs_[0] *= 1 + 1e-5
            return self

    monkeypatch.setattr(sys.modules[__name__], "OURS", (Wrong, OURS[1]))
    numbers = [
        number
        for number in range(60)
        if draw(number).kind in CLASSIFIERS and draw(number).calls[0][0] == "fit"
    ]
    _, unexplained = judged(numbers[:6])
    assert len(unexplained) >= 5


def main():
    import joblib

    count = int(sys.argv[1]) if len(sys.argv) > 1 else N_SLOW
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    numbers = range(first, first + count)
    parts = [numbers[i : i + 50] for i in range(0, count, 50)]
    total, unexplained = Counter(), []
    for reasons, lines in joblib.Parallel(-1)(map(joblib.delayed(judged), parts)):
        total += reasons
        unexplained += lines
    print(f"{count} sequences: {dict(total)}", *unexplained, sep="\n")
    sys.exit(bool(unexplained))


if __name__ == "__main__":
    main()
