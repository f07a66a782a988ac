"""Data that libraries trust: indices of sparse matrices, and sums of weights.

An index out of range makes kernels, and SciPy, read and write memory of others. Each
case ends in an error or in the weights of the same dense X.
"""

import numpy as np
import pytest
from scipy import sparse
from sklearn.neural_network import MLPRegressor as Expected
from subprocesses import run_apart

from skmlp import MLPClassifier, MLPRegressor

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore:.*overflow.*:RuntimeWarning"),
]


def damaged(cases):
    """How fits, `partial_fit` and predictions of damaged matrices end.

    In a process of its own: without the checks it may end in any way.
    """
    import numpy as np
    from scipy import sparse

    import skmlp

    dense = np.random.default_rng(0).random((60, 12)) * (np.arange(12) % 3 > 0)
    sound = sparse.csr_matrix(dense)
    y = np.arange(60.0)

    def regressor():
        return skmlp.MLPRegressor(hidden_layer_sizes=(5,), max_iter=2, random_state=0)

    fitted = regressor().fit(sound, y)
    calls = (
        lambda x: regressor().fit(x, y),
        lambda x: regressor().partial_fit(x, y),
        lambda x: regressor().fit(sound, y, X_val=x, y_val=y),
        lambda x: fitted.predict(x),
        lambda x: fitted.score(x, y),
    )
    found = []
    for form, part, place, value in cases:
        x = sparse.csr_matrix(dense).asformat(form)
        # The flags are cached before the edit.
        getattr(x, "has_canonical_format", None)
        getattr(x, part)[place] = value
        for call in calls:
            try:
                call(x)
                found.append(f"no error: {form}.{part}[{place}] = {value}")
            except ValueError as error:
                found.append(str(error))
    return found


DAMAGES = [
    ("csr", "indices", 5, -1),
    ("csr", "indices", 0, 12),
    ("csr", "indices", -1, 10**8),
    ("csr", "indptr", 3, 0),
    ("csr", "indptr", 3, -7),
    ("csr", "indptr", 0, 2),
    ("csr", "indptr", -1, 10**6),
    ("csc", "indices", 5, -1),
    ("csc", "indices", 5, 60),
    ("csc", "indptr", 3, 10**6),
    ("coo", "row", 5, -1),
    ("coo", "col", 5, 10**8),
    ("bsr", "indices", 5, -1),
]


def test_indices_out_of_range_are_an_error():
    found = run_apart(damaged, DAMAGES)
    assert len(found) == 5 * len(DAMAGES)
    assert {"damaged sparse matrix" in message for message in found} == {True}, found


def wide():
    """A matrix wide enough for several ranges of columns, its flags cached."""
    generator = np.random.default_rng(0)
    dense = generator.random((80, 3000)) * (generator.random((80, 3000)) < 0.05)
    x = sparse.csr_matrix(dense)
    assert x.has_canonical_format
    assert x.has_sorted_indices
    return x, generator


EDITS = {
    "permuted": lambda x, p: x.indices.__setitem__(slice(None), p[x.indices]),
    "reversed": lambda x, p: x.indices.__setitem__(slice(None), 2999 - x.indices),
    "all in one column": lambda x, p: x.indices.fill(7),
}


@pytest.mark.parametrize("edit", EDITS)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_edited_indices_are_those_of_the_dense_matrix(edit, solver):
    x, generator = wide()
    EDITS[edit](x, generator.permutation(3000).astype(x.indices.dtype))
    edited = x.indices.copy()
    # SciPy adds up duplicates only in a matrix whose flags are true.
    true = sparse.csr_matrix((x.data, x.indices.copy(), x.indptr), shape=x.shape)
    dense, y = true.toarray(), np.arange(80) % 5
    settings = {"hidden_layer_sizes": (40,), "max_iter": 4, "random_state": 0}
    found = MLPRegressor(solver=solver, **settings).fit(x, y)
    expected = Expected(solver=solver, **settings).fit(dense, y)
    for mine, theirs in zip(found.coefs_, expected.coefs_, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6, atol=1e-8)
    predictions = found.predict(x)
    np.testing.assert_allclose(predictions, found.predict(dense), rtol=1e-9)
    np.testing.assert_array_equal(x.indices, edited)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e308])
@pytest.mark.parametrize("form", [sparse.csr_array, sparse.csr_matrix])
def test_numbers_of_a_sparse_prediction(form, value):
    """Its fast way checks what scikit-learn's validation checks."""
    x, y = np.arange(24.0).reshape(8, 3), np.arange(8)
    model = MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, random_state=0)
    model.fit(form(x), y)
    x[5, 1:] = value
    if np.isfinite(value):  # whose sum is not
        found, dense = model.predict(form(x)), model.predict(x)
        np.testing.assert_allclose(found, dense)
    else:
        with pytest.raises(ValueError, match=r"contains (NaN|infinity)"):
            model.predict(form(x))
    for wrong in (x[:, :1], x[:0]):
        with pytest.raises(ValueError, match=r"features|minimum of 1 is required"):
            model.predict(form(wrong))


@pytest.mark.parametrize("n_elements", [0, 1])
def test_matrices_with_hardly_an_element(n_elements):
    places = ([3] * n_elements, [2] * n_elements)
    x = sparse.csr_matrix(([1.0] * n_elements, places), shape=(6, 4))
    model = MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, random_state=0)
    dense = model.fit(x.toarray(), np.arange(6)).predict(x.toarray())
    np.testing.assert_allclose(model.fit(x, np.arange(6)).predict(x), dense)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("weight", [1e307, 1e308, 1.7e308])
def test_weights_whose_sum_overflows_are_an_error(kind, solver, weight):
    x, y = np.random.default_rng(0).normal(size=(50, 4)), np.arange(50) % 2
    model = kind(hidden_layer_sizes=(3,), solver=solver, max_iter=2, random_state=0)
    with pytest.raises(ValueError, match="sum of the weights of the samples overflows"):
        model.fit(x, y, sample_weight=np.full(50, weight))
    # The largest ones that have a sum are as good as others.
    largest = model.fit(x, y, sample_weight=np.full(50, 1e306)).coefs_[0]
    assert np.isfinite(model.loss_)
    usual = model.fit(x, y, sample_weight=np.full(50, 1e300)).coefs_[0]
    np.testing.assert_allclose(largest, usual, rtol=1e-6)


def test_weights_beyond_float32_are_an_error():
    x, y = np.random.default_rng(0).normal(size=(50, 4)), np.arange(50) % 2
    model = MLPClassifier(hidden_layer_sizes=(3,), dtype="float32")
    with pytest.raises(ValueError, match="overflows float32"):
        model.fit(x, y, sample_weight=np.full(50, 1e39))
