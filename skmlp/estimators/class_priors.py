"""Class priors: adjusted decisions, and probabilities for another prevalence.

Raw outputs plus a constant for each class are those of a population in which the
classes have other shares, by Bayes' theorem (King and Zeng, 2001; Saerens et al.,
2002). So neither needs more than a vector that is added to the raw outputs: one for
probabilities, one for decisions.

Logit adjustment (Menon et al., 2021) trains with z + tau log(share) in place of the raw
outputs z, and decides by z. The output biases learn any constant. Hence the network
that is trained is the one of z + tau log(share), its biases begin there, and the
constant is taken off where decisions are made: the loops of the backends know nothing
of it.
"""

import numpy as np
from scipy.special import expit, softmax

from skmlp.network import views
from skmlp.rules.activations import IDENTITY, activation_rule

# How far the sum of given shares may be from one.
_TOLERANCE = 1e-6
# What the constants are for.
PROBABILITIES, DECISIONS = "probabilities", "decisions"


def check_whole_data(estimator):
    """Refuse, for ``partial_fit``, what depends on the shares in the whole data.

    Raises
    ------
    ValueError
    """
    for name in prior_parameters(estimator):
        raise ValueError(
            f"{name}={getattr(estimator, name)!r} is not supported for partial_fit, "
            "since a chunk need not have the class shares of the whole data. Add the "
            "logarithms of a ratio of shares to predict_log_proba instead."
        )


def prepare_priors(estimator, fit, objective):
    """Set what predictions add to raw outputs, and move a new network's biases.

    Sets ``class_shares_`` and, as a plain dict for a pickle, ``_prior_offsets``.

    Parameters
    ----------
    estimator : MLPClassifier
    fit : skmlp.estimators.fit_values.FitValues
        The biases of the last layer in its `params` are changed.
    objective : Problem
        The rows to train on, and what they weigh in the expected loss.

    Raises
    ------
    ValueError
        Where outputs are no logits of probabilities, for a class without a row, and
        for shares that are not those of the classes.
    """
    estimator.class_shares_ = estimator._prior_offsets = None
    names = prior_parameters(estimator)
    if not names:
        return
    labels, tau = estimator._labels, estimator.logit_adjustment
    _check_outputs(estimator, fit.network, names[0])
    feed = fit.feed
    sums = estimator._class_sums(objective) if feed is None else feed.class_sums
    shares = _training_shares(labels, sums, names[0])
    of_training = of_target = labels.log_prior(shares)
    if estimator.prior is not None:
        of_target = labels.log_prior(_given_shares(estimator.prior, labels))
    change = of_target - of_training
    estimator.class_shares_ = shares
    estimator._prior_offsets = {
        PROBABILITIES: None if estimator.prior is None else change,
        DECISIONS: change - tau * of_target,
    }
    if not fit.resumes:
        biases = views(fit.network, fit.params)[1][-1]
        biases += (tau * of_training).astype(biases.dtype)


def shifted(estimator, outputs, what):
    """The network's outputs with the constants of probabilities or decisions.

    Parameters
    ----------
    estimator : MLPClassifier
    outputs : callable
        As the methods of `Labels` take it.
    what : {'probabilities', 'decisions'}

    Returns
    -------
    callable
        `outputs` itself without such constants.
    """
    offsets = getattr(estimator, "_prior_offsets", None)
    offset = None if offsets is None else offsets[what]
    if offset is None:
        return outputs

    def moved(activation=None):
        raw = outputs(IDENTITY)
        raw = raw + offset.astype(raw.dtype)
        if activation == IDENTITY:
            return raw
        several = estimator._labels.one_of_several
        return softmax(raw, axis=1) if several else expit(raw)

    return moved


def prior_parameters(estimator):
    """Names of the parameters that need class shares and are not at their defaults."""
    names = []
    if estimator.logit_adjustment != 0:
        names.append("logit_adjustment")
    if estimator.prior is not None:
        names.append("prior")
    return names


def _check_outputs(estimator, network, name):
    """Refuse outputs to which no constant can be added, or which have no biases."""
    value = f"{name}={getattr(estimator, name)!r}"
    if network.loss.is_margin:
        raise ValueError(
            f"{value} needs a loss of probabilities, got loss={estimator.loss!r}, "
            "whose outputs are margins."
        )
    if not network.loss.proper:
        raise ValueError(
            f"{value} needs outputs that are log-odds, but loss={estimator.loss!r} "
            "draws probabilities towards even ones: tune a threshold, for example by "
            "TunedThresholdClassifierCV."
        )
    several = estimator._labels.one_of_several
    if several and not activation_rule(network.output).by_rows:
        raise ValueError(
            f"{value} with several classes needs probabilities by softmax, got "
            f"loss={estimator.loss!r} with out_activation={network.output!r}."
        )
    if estimator.logit_adjustment != 0 and not network.intercepts:
        raise ValueError(
            f"{value} needs fit_intercept=True: the biases learn the adjustment."
        )


def class_sums(labels, targets, weights):
    """Sums of the weights by class, or by label, and last that of all rows.

    Parameters
    ----------
    labels : skmlp.estimators.labels.Labels
    targets : ndarray of shape (n_rows, n_columns)
        Encoded.
    weights : ndarray of shape (n_rows,) or None

    Returns
    -------
    ndarray of float64
        Those of parts of the rows add up to those of all.
    """
    weights = np.ones(len(targets)) if weights is None else weights.astype(np.float64)
    return np.append(labels.class_sums(targets, weights), weights.sum())


def _training_shares(labels, sums, name):
    shares = sums[:-1] / sums[-1]
    missing = shares <= 0
    if labels.multilabel:
        missing |= shares >= 1
    if np.any(missing):
        needs = "without and with each label" if labels.multilabel else "of each class"
        which = _names(labels)[int(np.argmax(missing))]
        raise ValueError(
            f"{name} needs rows {needs}, but the share of {which!r} among the rows to "
            f"train on is {shares[missing][0]:g}."
        )
    return shares


def _names(labels):
    """The user's names of the classes: those of columns of labels, if they have any."""
    names = getattr(labels, "names", None) if labels.multilabel else None
    return labels.classes.tolist() if names is None else names.tolist()


def _given_shares(prior, labels):
    """The parameter `prior` as an array in the order of the classes."""
    names = _names(labels)
    if isinstance(prior, str):
        return np.full(len(names), 0.5 if labels.multilabel else 1 / len(names))
    if isinstance(prior, dict):
        if labels.multilabel and set(prior) == set(labels.classes.tolist()):
            prior = dict(
                zip(names, map(prior.get, labels.classes.tolist()), strict=True)
            )
        if set(prior) != set(names):
            raise ValueError(
                f"prior must have a share for each class of y and no others: it has "
                f"{list(prior)}, the classes are {names}."
            )
        prior = [prior[name] for name in names]
    try:
        shares = np.asarray(prior, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"prior must have numbers as shares, got {prior!r}.") from None
    if shares.shape != (len(names),):
        raise ValueError(
            f"prior has shape {shares.shape}, but must have a share for each of the "
            f"{len(names)} classes {names}."
        )
    bad = ~((shares > 0) & ((shares < 1) if labels.multilabel else np.isfinite(shares)))
    if np.any(bad):
        between = "in (0, 1)" if labels.multilabel else "positive"
        raise ValueError(
            f"prior must have shares that are {between}, got {shares[bad][0]:g} for "
            f"{names[int(np.argmax(bad))]!r}."
        )
    if labels.multilabel:
        return shares
    if abs(shares.sum() - 1) > _TOLERANCE:
        raise ValueError(
            f"The shares of prior must sum to 1, got the sum {shares.sum():g}."
        )
    return shares / shares.sum()
