"""The tables of losses, row by row: values, slopes, edges.

Every loss is run as the backends run it, by raw outputs, and held against a formula
by predictions.
"""

import mpmath_oracle
import numpy as np
import pytest
from mpmath import mp
from numpy.testing import assert_allclose, assert_array_equal
from rule_runners import (
    DTYPES,
    LEVELS,
    LOSSES,
    SIZES,
    evaluate,
    losses_and_gradients,
    name_of,
    one_hot,
    outputs_of,
    parameters_of,
    row_of,
    smoothed_parameters,
    targets_of,
)
from scipy import special

from skmlp.rules.coupled import ordered_log_probabilities
from skmlp.rules.focal import NO_ALPHA
from skmlp.rules.losses import (
    BINARY_LOSSES,
    COLUMN_LOSSES,
    MULTICLASS_LOSSES,
    QUANTILES,
    REGRESSION_LOSSES,
)

every_row = pytest.mark.parametrize("row", LOSSES, ids=name_of)
both_backends = pytest.mark.parametrize("backend", ["cpu", "reference"])


EXP, LOG, TANH, COSH = map(mpmath_oracle.function, (mp.exp, mp.log, mp.tanh, mp.cosh))


def softplus(z):
    return LOG(1 + EXP(z))


def expit(z):
    return 1 / (1 + EXP(-z))


def softmax(z):
    return EXP(z) / np.sum(EXP(z), axis=1, keepdims=True)


def pinball(y, q, p):
    return np.maximum(p * (y - q), (p - 1) * (y - q))


def total(formula):
    """Of a formula for one output, the sum over a row's."""
    return lambda y, z: np.sum(formula(y, z), axis=1)


def crammer_singer(y, z):
    own = np.arange(z.shape[1]) == y
    others = np.max(np.where(own, mp.ninf, z), axis=1)
    return np.maximum(0, 1 + others - z[own])


def gaussian(y, z):
    means, raw = np.split(z, 2, axis=1)
    variances = softplus(raw) + mp.mpf("1e-6")
    return np.sum((y - means) ** 2 / variances + LOG(variances), axis=1) / 2


def several_quantiles(y, z):
    steps = np.hstack([z[:, :1], softplus(z[:, 1:])])
    return np.sum(
        pinball(y, np.cumsum(steps, axis=1), mpmath_oracle.numbers(LEVELS)), axis=1
    )


def huber(y, z):
    r, delta = abs(z - y), mp.mpf(0.8)
    return np.where(r > delta, delta * (r - delta / 2), r * r / 2)


def tweedie(y, z):
    """Of power 3 / 2 (Jorgensen, 1997)."""
    mean = EXP(z)
    return 2 * (y**0.5 - mean**0.5) ** 2 / mean**0.5


def poisson(y, z):
    entropy = np.where(y > 0, y * LOG(np.where(y > 0, y, 1)), 0)
    return entropy - y * z - y + EXP(z)


def squared_behind(link):
    return total(lambda y, z: (y - link(z)) ** 2 / 2)


def by_column(y, z):
    """Cross-entropies of softmax outputs, a block a column."""
    blocks = np.split(z, np.cumsum(SIZES)[:-1], axis=1)
    return sum(
        LOG(np.sum(EXP(block), axis=1)) - np.sum(one_hot(y[:, [c]], block) * block, 1)
        for c, block in enumerate(blocks)
    )


def ordinal(y, z):
    """Of a product, since the difference of two tails is lost in sixty digits, too.

    ``test_classes_in_an_order...`` shows that it is the difference.
    """
    logits = np.cumsum(np.hstack([z[:, :1], -softplus(z[:, 1:])]), axis=1)
    above, not_above = -LOG(1 + EXP(-logits)), -LOG(1 + EXP(logits))
    middle = above[:, :-1] + not_above[:, 1:] + LOG(EXP(z[:, 1:]) / (1 + EXP(z[:, 1:])))
    each = np.hstack([not_above[:, :1], middle, above[:, -1:]])
    return -each[np.arange(len(y)), y.ravel().astype(int)]


def cross_entropy(y, z):
    return -y * LOG(expit(z)) - (1 - y) * LOG(expit(-z))


def divergence(y, z):
    """Of Bernoulli distributions (Kullback and Leibler, 1951)."""
    own, other = (np.where(each > 0, each, mp.mpf(1)) for each in (y, 1 - y))
    return y * LOG(own) + (1 - y) * LOG(other) + cross_entropy(y, z)


def focal_of_side(y, z):
    """Of gamma 2 and alpha 0.3 (Lin et al., 2017)."""
    alpha = mp.mpf(0.3)
    own = -alpha * expit(-z) ** 2 * LOG(expit(z))
    other = -(1 - alpha) * expit(z) ** 2 * LOG(expit(-z))
    return y * own + (1 - y) * other


def focal_of_class(y, z):
    """Of gamma 2."""
    own = one_hot(y, z)
    of_all, of_others = np.sum(EXP(z), axis=1), np.sum(EXP(z) * (1 - own), axis=1)
    return (of_others / of_all) ** 2 * (LOG(of_all) - np.sum(own * z, axis=1))


EXPECTED = {
    "squared_error-identity": squared_behind(lambda z: z),
    "squared_error-relu": squared_behind(lambda z: np.maximum(z, 0)),
    "squared_error-softplus": squared_behind(softplus),
    "squared_error-exp": squared_behind(EXP),
    "squared_error-logistic": squared_behind(expit),
    "squared_error-tanh": squared_behind(TANH),
    "absolute_error-identity": total(lambda y, z: abs(y - z)),
    "quantile-identity": total(lambda y, z: pinball(y, z, mp.mpf(0.3))),
    "quantiles-identity": several_quantiles,
    "huber-identity": total(huber),
    "log_cosh-identity": total(lambda y, z: LOG(COSH(y - z))),
    "gaussian_nll-identity": gaussian,
    "poisson-exp": total(poisson),
    "gamma-exp": total(lambda y, z: LOG(EXP(z) / y) + y / EXP(z) - 1),
    "tweedie-exp": total(tweedie),
    "log_loss-logistic": total(cross_entropy),
    "log_loss-logistic-shares": total(divergence),
    "hinge-identity": total(lambda y, z: np.maximum(0, 1 - (2 * y - 1) * z)),
    "squared_hinge-identity": total(
        lambda y, z: np.maximum(0, 1 - (2 * y - 1) * z) ** 2
    ),
    "focal-logistic": total(focal_of_side),
    "focal-softmax-labels": focal_of_class,
    "focal-logistic-labels": lambda y, z: np.sum(
        focal_of_side(one_hot(y, z), z), axis=1
    ),
    "log_loss-softmax-labels": lambda y, z: (
        LOG(np.sum(EXP(z), axis=1)) - np.sum(one_hot(y, z) * z, axis=1)
    ),
    "squared_error-softmax-labels": lambda y, z: (
        np.sum((softmax(z) - one_hot(y, z)) ** 2, axis=1) / 2
    ),
    "hinge-identity-labels": crammer_singer,
    "squared_hinge-identity-labels": lambda y, z: crammer_singer(y, z) ** 2,
    "ordinal-logistic": total(cross_entropy),
    "ordinal-logistic-labels": ordinal,
    "log_loss-softmax-columns": by_column,
    "log_loss-logistic-labels": lambda y, z: np.sum(
        cross_entropy(one_hot(y, z), z), axis=1
    ),
    "squared_error-logistic-labels": lambda y, z: (
        np.sum((expit(z) - one_hot(y, z)) ** 2, axis=1) / 2
    ),
}


def test_every_loss_has_an_independent_definition():
    assert set(EXPECTED) == {name_of(row) for row in LOSSES}


def test_the_names_in_a_table_are_its_rows():
    tables = (REGRESSION_LOSSES, BINARY_LOSSES, MULTICLASS_LOSSES, COLUMN_LOSSES)
    for table in tables:
        assert all(pair == (row.name, row.output) for pair, row in table.items())


def test_every_row_says_what_it_is():
    tables = (REGRESSION_LOSSES, BINARY_LOSSES)
    assert all(row.about for table in tables for row in table.values())


def sample_of(row, n_rows=200, size=8.0):
    rng = np.random.default_rng(0)
    y = targets_of(row, n_rows, rng)
    z = rng.uniform(-size, size, (n_rows, outputs_of(row, y.shape[1])))
    return y, z


def sample_with_edges(row, dtype):
    """Targets and raw outputs, the larger ones of about 100 and 10,000."""
    y, z = sample_of(row, n_rows=90)
    if row.output == "exp":
        # Beside exp(10,000) another output's derivative is lost, in sixty digits too.
        y, z = y[:, :1], z[:, :1]
    # No two of a size: the largest has a kink where it is not the only one.
    sizes = np.random.default_rng(1).uniform(0.9, 1, z.shape)
    edges = np.sign(z) * np.array([0, 100, 1e4])[np.arange(90) % 3, None] * sizes
    return y.astype(dtype), np.where(edges == 0, z, edges).astype(dtype)


def assert_exact(found, expected, size, precision):
    """Equal but for some roundings of numbers of a size; beyond a precision inf."""
    with np.errstate(over="ignore"):
        expected = expected.astype(precision).astype(float)
    finite = np.isfinite(expected)
    assert_array_equal(found[~finite], expected[~finite])
    error = np.abs(found[finite] - expected[finite])
    assert np.all(error <= 6 * np.finfo(precision).eps * size[finite])


@both_backends
@pytest.mark.parametrize("dtype", DTYPES)
@every_row
def test_loss_values(row, dtype, backend):
    y, z = sample_with_edges(row, dtype)
    losses, delta = evaluate(row, y, z, backend)
    precision = dtype if backend == "cpu" else np.float64
    assert delta.dtype == precision
    expected = mpmath_oracle.value(EXPECTED[name_of(row)], y, z)
    size = 1 + np.sum(np.abs(z), axis=1) + np.abs(expected)
    assert_exact(losses, expected, size, precision)


@pytest.mark.sampled
@both_backends
@pytest.mark.parametrize("dtype", DTYPES)
@every_row
def test_loss_slopes_are_derivatives(row, dtype, backend):
    y, z = sample_with_edges(row, dtype)
    _, delta = evaluate(row, y, z, backend)
    precision = dtype if backend == "cpu" else np.float64
    for j in range(z.shape[1]):
        expected = mpmath_oracle.slope(EXPECTED[name_of(row)], y, z, column=j)
        assert_exact(delta[:, j], expected, 1 + np.abs(expected), precision)


@pytest.mark.sampled
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "row", [row for row in LOSSES if row.value is not None], ids=name_of
)
def test_scalar_rules_keep_nan_and_the_dtype(row, dtype, runner):
    p = [np.full(2, value, dtype) for value in parameters_of(row)]
    p = p[: len(row.parameters)]
    y, z = np.ones(2, dtype), np.array([0.3, np.nan], dtype)
    for rule in (row.value, row.slope):
        got = runner(rule, 2 + len(p))(y, z, *p)
        assert got.dtype == dtype
        assert np.isnan(got).tolist() == [False, True]


@both_backends
@every_row
def test_nan_in_any_output_is_nan(row, backend):
    y, z = sample_of(row, n_rows=30)
    for j in range(z.shape[1]):
        bad = z.copy()
        bad[:, j] = np.nan
        losses, _ = evaluate(row, y, bad, backend)
        assert np.isnan(losses).all()


@both_backends
@pytest.mark.parametrize("smoothing", [0.1, 0.7])
@pytest.mark.parametrize(
    "name",
    ["log_loss-logistic", "log_loss-softmax-labels", "log_loss-logistic-labels"],
)
def test_label_smoothing_mixes_the_targets_with_even_ones(name, smoothing, backend):
    row = row_of(name)
    y, z = sample_of(row)
    hard = one_hot(y, z) if row.labels else y
    even = 1 / z.shape[1] if row.labels else 0.5
    soft = (1 - smoothing) * hard + smoothing * even
    if row.output == "softmax":
        expected = -np.sum(soft * special.log_softmax(z, axis=1), axis=1)
        slope = special.softmax(z, axis=1) - soft
    else:
        likely = soft * special.log_expit(z) + (1 - soft) * special.log_expit(-z)
        expected = -np.sum(likely, axis=1)
        slope = special.expit(z) - soft
    losses, delta = evaluate(row, y, z, backend, parameters=(smoothing,))
    assert_allclose(losses, expected, rtol=1e-12)
    assert_allclose(delta, slope, rtol=1e-9, atol=1e-14)


@both_backends
@pytest.mark.parametrize("smoothing", [0.1, 0.7])
def test_columns_are_smoothed_each(smoothing, backend):
    row = row_of("log_loss-softmax-columns")
    one = row_of("log_loss-softmax-labels")
    y, z = sample_of(row)
    parameters = smoothed_parameters(row, smoothing)
    losses, delta = evaluate(row, y, z, backend, parameters=parameters)
    blocks = np.split(z, np.cumsum(SIZES)[:-1], axis=1)
    parts = [
        losses_and_gradients(one, y[:, [c]], block, (smoothing,), backend=backend)
        for c, block in enumerate(blocks)
    ]
    assert_allclose(losses, sum(part for part, _ in parts), rtol=1e-12)
    assert_allclose(delta, np.hstack([slope for _, slope in parts]), atol=1e-14)


def test_classes_in_an_order_have_probabilities_that_sum_to_one():
    row = row_of("ordinal-logistic-labels")
    _, z = sample_of(row)
    log_p = ordered_log_probabilities(z)
    falls = np.hstack([z[:, :1], -np.logaddexp(0, z[:, 1:])])
    above = special.expit(np.cumsum(falls, axis=1))
    differences = -np.diff(above, axis=1, prepend=1, append=0)
    assert_allclose(np.exp(log_p), differences, rtol=1e-9, atol=1e-14)
    assert_allclose(np.exp(log_p).sum(axis=1), 1, rtol=1e-14)
    for k in range(log_p.shape[1]):
        losses, _ = evaluate(row, np.full((len(z), 1), float(k)), z)
        assert_allclose(losses, -log_p[:, k], rtol=1e-13)


FOCAL = ["focal-logistic", "focal-softmax-labels", "focal-logistic-labels"]


@both_backends
@pytest.mark.parametrize("name", FOCAL)
def test_the_focal_loss_of_gamma_zero_is_the_log_loss(name, backend):
    row = row_of(name)
    y, z = sample_with_edges(row, np.float64)
    y = y.astype(np.float64)
    expected = evaluate(row_of(name.replace("focal", "log_loss")), y, z, backend)
    got = evaluate(row, y, z, backend, parameters=(0.0, NO_ALPHA))
    for mine, other in zip(got, expected, strict=True):
        assert_allclose(mine, other, rtol=1e-12, atol=3e-16)


@pytest.mark.parametrize("name", FOCAL)
def test_the_focal_loss_is_stable_for_any_exponent(name):
    row = row_of(name)
    y, z = sample_of(row, size=1000.0)
    for gamma in (0.0, 1e-3, 0.5, 2.0, 5.0, 1000.0):
        losses, delta = evaluate(row, y, z, parameters=(gamma, NO_ALPHA))
        assert np.all(losses >= 0)
        assert np.isfinite(losses).all()
        assert np.isfinite(delta).all()


def test_quantiles_of_one_level_are_the_quantile():
    one = row_of("quantile-identity")
    y, z = (array[:, :1] for array in sample_of(one))
    expected = losses_and_gradients(one, y, z, (0.8,))
    got = losses_and_gradients(QUANTILES, y, z, (0.8,))
    for mine, other in zip(got, expected, strict=True):
        assert_allclose(mine, other)
