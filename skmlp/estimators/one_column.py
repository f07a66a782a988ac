"""Targets of one column: a single class, two classes, or one of several."""

import numpy as np
from scipy.special import log_softmax

from skmlp.estimators.labels import Labels, positive
from skmlp.estimators.log_odds import log_odds
from skmlp.rules.activations import IDENTITY, activation_rule


class OneColumn(Labels):
    """A target of one column; the network's target is the index of the class."""

    def encode(self, y, dtype):
        """The index of each row's class."""
        if np.ndim(y) != 1:
            raise ValueError(
                f"y has shape {y.shape}, but the network was made for one class a "
                "sample, a single column."
            )
        return np.searchsorted(self.classes, y).astype(dtype).reshape(-1, 1)

    def decode(self, raw):
        """The classes of the rows."""
        return self.classes[self.predicted(raw, 0.0).ravel()]

    def to_state(self):
        """The labels as a plain dict, for a pickle."""
        return {"classes": self.classes, "multilabel": False, "sparse_output": False}


class TwoClasses(OneColumn):
    """Two classes, told apart by one output: the logit of the second."""

    @property
    def n_outputs(self):
        """One."""
        return 1

    def strata(self, targets):
        """Whether each row is of the second class."""
        return targets.astype(bool)

    def predicted(self, outputs, threshold):
        """The second class where the output is above the threshold."""
        return (outputs > threshold).astype(np.intp)

    def decision(self, raw, output):
        """The evidence for the second class."""
        return raw.ravel()

    def probabilities(self, outputs, output):
        """Both from the logit: 1 - p would lose the small one."""
        raw = outputs(IDENTITY)
        return positive(_logistic_of_negative(np.hstack([raw, -raw])))

    def log_probabilities(self, outputs, output):
        """Logarithms of both."""
        raw = outputs(IDENTITY)
        return -np.logaddexp(0, np.hstack([raw, -raw]))


class SingleClass(TwoClasses):
    """A single class, which is certain whatever the output is."""

    def predicted(self, outputs, threshold):
        """The class."""
        return np.zeros(outputs.shape, dtype=np.intp)

    def probabilities(self, outputs, output):
        """Ones."""
        return np.ones_like(outputs(IDENTITY))

    def log_probabilities(self, outputs, output):
        """Zeros."""
        return np.zeros_like(outputs(IDENTITY))


class OneOfSeveral(OneColumn):
    """One of more than two classes: an output each."""

    one_of_several = True

    @property
    def n_outputs(self):
        """One a class."""
        return len(self.classes)

    def strata(self, targets):
        """The index of each row's class."""
        return targets.ravel()

    def predicted(self, outputs, threshold):
        """The class of the largest output."""
        return outputs.argmax(axis=1).reshape(-1, 1)

    def decision(self, raw, output):
        """Log-odds of each class against all others, or what the outputs are."""
        return log_odds(raw) if _sums_to_one(output) else raw

    def probabilities(self, outputs, output):
        """Those of the outputs, made to sum to one."""
        if _sums_to_one(output):
            return positive(outputs())
        return positive(np.exp(self.log_probabilities(outputs, output)))

    def log_probabilities(self, outputs, output):
        """Logarithms of them."""
        raw = outputs(IDENTITY)
        if _sums_to_one(output):
            return log_softmax(raw, axis=1)
        return log_softmax(-np.logaddexp(0, -raw), axis=1)


def _sums_to_one(output):
    """Whether the output activation couples the classes, as softmax does."""
    return activation_rule(output).by_rows


def _logistic_of_negative(z):
    """1 / (1 + exp(z)), in place: NumPy's exp is vectorized, SciPy's expit is not."""
    with np.errstate(over="ignore"):  # Infinity stands for a probability of zero.
        np.exp(z, out=z)
    z += 1
    return np.reciprocal(z, out=z)
