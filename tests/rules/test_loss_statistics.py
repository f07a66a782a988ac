"""What each loss estimates: the statistic of its distribution.

By the best constant model, by scikit-learn's metrics, and by its losses' gradients.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from rule_runners import (
    BINARY,
    LEVELS,
    LOSSES,
    SIZES,
    evaluate,
    name_of,
    one_hot,
    row_of,
    targets_of,
)
from scipy import optimize, special
from sklearn import metrics
from sklearn._loss import loss as theirs

SHARES = np.array([0.6, 0.25, 0.15])


def inverse_softplus(a):
    return np.log(np.expm1(a))


# What each loss estimates, as the raw outputs of the best constant model.

LINKED_MEANS = {
    "identity": lambda m: m,
    "relu": lambda m: m,
    "softplus": inverse_softplus,
    "exp": np.log,
    "logistic": special.logit,
    "tanh": np.arctanh,
}


def root_of_mean(slope):
    """Where the mean of a slope of the residuals vanishes."""

    def statistic(y):
        ends = y.min(), y.max()
        return [
            optimize.brentq(lambda c: np.mean(slope(y - c)), *ends, xtol=1e-13),
        ]

    return statistic


def gaussian_statistic(y):
    return [y.mean(), inverse_softplus(y.var() - 1e-6)]


def quantile_statistic(y):
    quantiles = np.quantile(y, LEVELS, method="inverted_cdf")
    return [quantiles[0], *inverse_softplus(np.diff(quantiles))]


def shares_of(y):
    return np.bincount(y.astype(int).ravel()) / len(y)


def margin_of_majority(size):
    """Margins of the most frequent class: `size` of its share."""

    def statistic(y):
        shares = shares_of(y)
        best = shares.argmax()
        margin = size(shares[best])
        return margin * (np.arange(len(shares)) == best)

    return statistic


def ordinal_statistic(y):
    above = 1 - np.cumsum(shares_of(y))[:-1]
    logits = special.logit(above)
    return [logits[0], *inverse_softplus(-np.diff(logits))]


def focal_slope(p):
    """Derivative of -(1 - p)^2 log(p)."""
    return 2 * (1 - p) * np.log(p) - (1 - p) ** 2 / p


def focal_probabilities(shares):
    """Where all shares times their slopes are equal, and the sum is one."""
    ends = 1e-12, 1 - 1e-12

    def one(share, slope):
        return optimize.brentq(lambda p: share * focal_slope(p) + slope, *ends)

    def at(slope):
        return np.array([one(share, slope) for share in shares])

    return at(optimize.brentq(lambda slope: at(slope).sum() - 1, 1e-3, 10.0))


def focal_statistic(y):
    """The logit of each side, at weights of 0.3 and 0.7."""
    shares = [y.mean()] if np.unique(y).size == 2 else shares_of(y)
    sides = [focal_probabilities([0.3 * p, 0.7 * (1 - p)])[0] for p in shares]
    return special.logit(sides)


STATISTICS = {
    "focal-logistic": focal_statistic,
    "focal-logistic-labels": focal_statistic,
    "focal-softmax-labels": lambda y: np.log(focal_probabilities(shares_of(y))),
    "absolute_error-identity": lambda y: [np.median(y)],
    "quantile-identity": lambda y: [np.quantile(y, 0.3, method="inverted_cdf")],
    "quantiles-identity": quantile_statistic,
    "huber-identity": root_of_mean(lambda r: np.clip(r, -0.8, 0.8)),
    "log_cosh-identity": root_of_mean(np.tanh),
    "gaussian_nll-identity": gaussian_statistic,
    "hinge-identity": lambda y: [np.sign(y.mean() - 0.5)],
    "squared_hinge-identity": lambda y: [2 * y.mean() - 1],
    "log_loss-softmax-labels": lambda y: np.log(shares_of(y)),
    "log_loss-softmax-columns": lambda y: np.concatenate(
        [np.log(shares_of(column)) for column in y.T]
    ),
    "ordinal-logistic-labels": ordinal_statistic,
    "squared_error-softmax-labels": lambda y: np.log(shares_of(y)),
    "log_loss-logistic-labels": lambda y: special.logit(shares_of(y)),
    "squared_error-logistic-labels": lambda y: special.logit(shares_of(y)),
    "hinge-identity-labels": margin_of_majority(lambda share: 1.0),
    "squared_hinge-identity-labels": margin_of_majority(lambda share: 2 * share - 1),
}
# Their means of slopes need not vanish, since they have kinks.
KINKED = {
    "absolute_error-identity",
    "quantile-identity",
    "quantiles-identity",
    "hinge-identity",
    "hinge-identity-labels",
    "squared_hinge-identity-labels",
}


def sample_to_estimate(row):
    rng = np.random.default_rng(1)
    if row.labels:
        return np.repeat(np.arange(3.0), (SHARES * 100).astype(int)).reshape(-1, 1)
    if row.by_column:
        return np.arange(101.0)[:, None] % SIZES
    if row in BINARY:
        return (rng.random((101, 1)) < 0.7).astype(float)
    # Skewed, and within the range of every link.
    return rng.beta(2, 5, (101, 1))


@pytest.mark.parametrize(
    "row",
    [
        row
        for row in LOSSES
        if row.outputs_per_target == 1 or name_of(row) in STATISTICS
    ],
    ids=name_of,
)
def test_the_best_constant_is_the_statistic(row):
    y = sample_to_estimate(row)
    default = lambda y: [LINKED_MEANS[row.output](y.mean())]  # noqa: E731
    best = np.array(STATISTICS.get(name_of(row), default)(y), dtype=float)

    def mean_loss(z):
        losses, delta = evaluate(row, y, np.tile(z, (len(y), 1)))
        return losses.mean(), delta.mean(axis=0)

    least, slope = mean_loss(best)
    if name_of(row) not in KINKED:
        assert_allclose(slope, 0, atol=1e-9)
    rng = np.random.default_rng(2)
    for size in (1e-3, 1e-2, 0.1, 1.0, 5.0):
        for direction in rng.normal(size=(10, len(best))):
            assert mean_loss(best + size * direction)[0] >= least - 1e-12


def one_column(row):
    """Targets and raw outputs of a single column."""
    rng = np.random.default_rng(3)
    return targets_of(row, 300, rng)[:, :1], rng.normal(size=(300, 1))


METRICS = {
    "squared_error-identity": lambda y, z: metrics.mean_squared_error(y, z) / 2,
    "absolute_error-identity": metrics.mean_absolute_error,
    "quantile-identity": lambda y, z: metrics.mean_pinball_loss(y, z, alpha=0.3),
    "poisson-exp": lambda y, z: metrics.mean_poisson_deviance(y, np.exp(z)) / 2,
    "gamma-exp": lambda y, z: metrics.mean_gamma_deviance(y, np.exp(z)) / 2,
    "tweedie-exp": lambda y, z: (
        metrics.mean_tweedie_deviance(y, np.exp(z), power=1.5) / 2
    ),
    "log_loss-logistic": lambda y, z: metrics.log_loss(y, special.expit(z)),
    "squared_error-logistic": lambda y, z: (
        metrics.brier_score_loss(y, special.expit(z)) / 2
    ),
    "hinge-identity": metrics.hinge_loss,
}


@pytest.mark.parametrize("name", METRICS)
def test_losses_are_scikit_learns_metrics(name):
    # The squared error behind a link and that of a probability share a name.
    row = next((row for row in BINARY if name_of(row) == name), row_of(name))
    y, z = one_column(row)
    losses, _ = evaluate(row, y, z)
    assert_allclose(losses.mean(), METRICS[name](y.ravel(), z.ravel()), rtol=1e-10)


def test_losses_of_classes_are_scikit_learns_metrics():
    rng = np.random.default_rng(4)
    y, z = rng.integers(0, 4, (200, 1)), rng.normal(size=(200, 4))
    probabilities = special.softmax(z, axis=1)
    expected = {
        "log_loss-softmax-labels": metrics.log_loss(y, probabilities),
        "hinge-identity-labels": metrics.hinge_loss(y.ravel(), z),
        "squared_error-softmax-labels": metrics.mean_squared_error(
            one_hot(y, z), probabilities
        )
        * 2,
    }
    for name, value in expected.items():
        assert_allclose(evaluate(row_of(name), y, z)[0].mean(), value)


THEIRS = {
    "squared_error-identity": theirs.HalfSquaredError(),
    "absolute_error-identity": theirs.AbsoluteError(),
    "quantile-identity": theirs.PinballLoss(quantile=0.3),
    "huber-identity": theirs.HuberLoss(delta=0.8),
    "poisson-exp": theirs.HalfPoissonLoss(),
    "gamma-exp": theirs.HalfGammaLoss(),
    "tweedie-exp": theirs.HalfTweedieLoss(power=1.5),
    "log_loss-logistic": theirs.HalfBinomialLoss(),
    "log_loss-logistic-shares": theirs.HalfBinomialLoss(),
}


@pytest.mark.parametrize("name", THEIRS)
def test_gradients_are_those_of_scikit_learns_losses(name):
    row = row_of(name)
    y, z = one_column(row)
    gradient = THEIRS[name].gradient(y.ravel(), z.ravel())
    assert_allclose(evaluate(row, y, z)[1].ravel(), gradient, rtol=1e-10, atol=1e-12)


def test_the_gradient_of_classes_is_that_of_scikit_learns_loss():
    rng = np.random.default_rng(5)
    y, z = rng.integers(0, 4, 200).astype(float), rng.normal(size=(200, 4))
    expected = theirs.HalfMultinomialLoss(n_classes=4).gradient(y, z)
    got = evaluate(row_of("log_loss-softmax-labels"), y.reshape(-1, 1), z)[1]
    assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
