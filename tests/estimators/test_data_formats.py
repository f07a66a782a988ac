"""Every form in which data can come gives the network that a plain array gives.

A kernel compiled for each memory layout would cost seconds a layout, and one that reads
a strided array as if it were contiguous would be silently wrong; so all forms are
brought into one, and "the same network" means the same bits. Memory is measured because
a copy of X, or a sparse X made dense, is what users notice first.
"""

import tracemalloc

import numpy as np
import pytest
from estimator_bits import bits
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import make_classification

from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends.cpu import plan
from skmlp.backends.cpu.kernels import predict, train

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    # Batches for all solvers, 'lbfgs' included.
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.IneffectiveParameterWarning"),
]

RANDOM = np.random.default_rng(0)
# Small integers are exact in every dtype that is tried.
X = RANDOM.integers(-3, 4, (60, 8)).astype(np.float64)
BITS_X = RANDOM.integers(0, 2, (60, 8)).astype(np.float64)
X_SPARSE = X * (RANDOM.random(X.shape) < 0.4)
Y = (X[:, 0] + X[:, 1] > 0).astype(int) + (X[:, 2] > 1)
YR = X[:, 0] - 0.5 * X[:, 1] * X[:, 2]
SOLVERS = ("adam", "lbfgs")


def model(solver="adam", kind=MLPClassifier, **settings):
    settings = {"hidden_layer_sizes": (5, 4), "max_iter": 4, **settings}
    return kind(solver=solver, batch_size=25, random_state=0, **settings)


def assert_same_network(estimator, plain, given):
    """Fit on both forms; `given` also has to do for predictions and `partial_fit`."""
    target = Y if isinstance(estimator, MLPClassifier) else YR
    expected = clone(estimator).fit(plain, target)
    found = clone(estimator).fit(given, target)
    assert bits(found) == bits(expected)
    assert found.predict(given).tobytes() == expected.predict(plain).tobytes()
    if estimator.solver != "lbfgs":
        found.partial_fit(given, target)
        assert bits(found) == bits(expected.partial_fit(plain, target))


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


def strided(array):
    wide = np.full((2 * array.shape[0], 3 * array.shape[1]), 7.0)
    wide[::2, ::3] = array
    return wide[::2, ::3]


def reversed_in_memory(array):
    return np.ascontiguousarray(array[::-1, ::-1])[::-1, ::-1]


def unaligned(array):
    memory = np.zeros(array.nbytes + 1, dtype=np.uint8)
    view = memory[1:].view(array.dtype).reshape(array.shape)
    view[:] = array
    assert not view.flags.aligned
    return view


DENSE_FORMS = {
    "fortran": np.asfortranarray,
    "strided": strided,
    "reversed": reversed_in_memory,
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "read-only": read_only,
    "unaligned": unaligned,
    "big-endian": lambda x: x.astype(">f8"),
    "int64": lambda x: x.astype(np.int64),
    "int8": lambda x: x.astype(np.int8),
    "float16": lambda x: x.astype(np.float16),
    "longdouble": lambda x: x.astype(np.longdouble),
    "object": lambda x: x.astype(object),
    "list": lambda x: x.tolist(),
    "subclass": lambda x: x.view(np.memmap),
    "unmasked": lambda x: np.ma.masked_array(x, mask=np.zeros(x.shape, dtype=bool)),
}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("form", DENSE_FORMS)
def test_dense_forms(form, solver):
    assert_same_network(model(solver), X, DENSE_FORMS[form](X))


@pytest.mark.parametrize("form", ["fortran", "read-only", "int64", "list"])
def test_dense_forms_in_regression(form):
    assert_same_network(model(kind=MLPRegressor), X, DENSE_FORMS[form](X))


@pytest.mark.parametrize("dtype", [bool, np.uint8])
def test_unsigned_forms(dtype):
    assert_same_network(model(), BITS_X, BITS_X.astype(dtype))


@pytest.mark.parametrize("mode", ["r", "c", "r+"])
def test_memmap(mode, tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode=mode)
    assert_same_network(model(), X, mapped)
    assert np.load(tmp_path / "x.npy").tobytes() == X.tobytes()


TARGET_FORMS = {
    "fortran": np.asfortranarray,
    "strided": strided,
    "read-only": read_only,
    "big-endian": lambda y: y.astype(">f8"),
    "float32": lambda y: y.astype(np.float32),
    "list": lambda y: y.tolist(),
}


@pytest.mark.parametrize("form", TARGET_FORMS)
def test_forms_of_targets(form):
    targets = np.column_stack([YR, np.round(YR[::-1])])
    expected = model(kind=MLPRegressor).fit(X, targets)
    found = model(kind=MLPRegressor).fit(X, TARGET_FORMS[form](targets))
    assert bits(found) == bits(expected)


LABELS = {
    "strings": np.array(["ant", "bee", "cat"]),
    "objects": np.array(["ant", "bee", "cat"], dtype=object),
    "negative": np.array([-7, 0, 9]),
    "big-endian": np.array([1, 2, 3], dtype=">i4"),
    "floats": np.array([0.0, 1.0, 2.0]),
    "uint8": np.array([1, 2, 255], dtype=np.uint8),
}


@pytest.mark.parametrize("form", LABELS)
def test_forms_of_labels(form):
    labels = LABELS[form]
    expected = model().fit(X, Y)
    found = model().fit(X, labels[Y])
    assert bits(found) == bits(expected)
    np.testing.assert_array_equal(found.predict(X), labels[expected.predict(X)])


@pytest.mark.parametrize("form", ["list", "read-only", "strided", "big-endian", "int"])
def test_forms_of_weights(form):
    weight = np.arange(1.0, 61.0)
    forms = {
        "list": weight.tolist(),
        "read-only": read_only(weight),
        "strided": np.repeat(weight, 2)[::2],
        "big-endian": weight.astype(">f8"),
        "int": weight.astype(int),
    }
    expected = model().fit(X, Y, sample_weight=weight)
    assert bits(model().fit(X, Y, sample_weight=forms[form])) == bits(expected)
    assert bits(expected) != bits(model().fit(X, Y))


def test_columns_of_two_dimensional_y_are_warned_of():
    with pytest.warns(UserWarning, match="column-vector"):
        found = model().fit(X, Y.reshape(-1, 1))
    assert bits(found) == bits(model().fit(X, Y))


@pytest.fixture(params=["pandas", "polars"])
def frame(request):
    """A function that makes a data frame of columns."""
    library = pytest.importorskip(request.param)
    return lambda columns: library.DataFrame(columns)


def columns_of(array, names="abcdefgh"):
    return {name: array[:, i] for i, name in enumerate(names)}


@pytest.mark.parametrize("solver", SOLVERS)
def test_frames(frame, solver):
    assert_same_network(model(solver), X, frame(columns_of(X)))


def test_frames_of_mixed_dtypes(frame):
    columns = columns_of(X)
    columns["b"] = columns["b"].astype(np.int32)
    columns["c"] = columns["c"].astype(np.float32)
    assert_same_network(model(), X, frame(columns))


def test_names_of_columns(frame):
    columns = columns_of(X)
    estimator = model().fit(frame(columns), Y)
    assert list(estimator.feature_names_in_) == list("abcdefgh")
    assert estimator.n_features_in_ == 8
    backwards = frame({name: columns[name] for name in reversed(columns)})
    other = frame(columns_of(X, "abcdefgx"))
    for call in (estimator.predict, lambda x: estimator.partial_fit(x, Y)):
        with pytest.raises(ValueError, match="same order"):
            call(backwards)
        with pytest.raises(ValueError, match="unseen at fit time"):
            call(other)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        estimator.predict(X)


def test_names_that_are_no_strings_are_no_names():
    pandas = pytest.importorskip("pandas")
    estimator = model().fit(pandas.DataFrame(X), Y)
    assert not hasattr(estimator, "feature_names_in_")


def test_a_fit_on_an_array_forgets_the_names(frame):
    estimator = model().fit(frame(columns_of(X)), Y)
    assert not hasattr(estimator.fit(X, Y), "feature_names_in_")


def sparse_form(name, kind, index):
    made = getattr(sparse, f"{name}_{kind}")(X_SPARSE)
    if name in ("csr", "csc"):
        made.indices = made.indices.astype(index)
        made.indptr = made.indptr.astype(index)
    return made


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("name", ["csr", "csc"])
def test_sparse_forms(name, kind, index, solver):
    plain = sparse.csr_array(X_SPARSE)
    assert_same_network(model(solver), plain, sparse_form(name, kind, index))


@pytest.mark.parametrize("kind", ["matrix", "array"])
@pytest.mark.parametrize("name", ["coo", "lil", "dok", "bsr", "dia"])
def test_other_sparse_formats(name, kind):
    plain = sparse.csr_array(X_SPARSE)
    assert_same_network(model(), plain, sparse_form(name, kind, np.int32))


@pytest.mark.parametrize("solver", [*SOLVERS, "sgd"])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_sparse_learns_what_dense_learns(kind, solver):
    target = Y if kind is MLPClassifier else YR
    dense = model(solver, kind).fit(X_SPARSE, target)
    found = model(solver, kind).fit(sparse.csr_array(X_SPARSE), target)
    for one, other in zip(found.coefs_, dense.coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def unsorted(plain):
    made = plain.copy()
    for start, stop in zip(made.indptr[:-1], made.indptr[1:], strict=True):
        made.indices[start:stop] = made.indices[start:stop][::-1]
        made.data[start:stop] = made.data[start:stop][::-1]
    return type(made)((made.data, made.indices, made.indptr), shape=made.shape)


def with_duplicates(plain):
    halves = np.repeat(plain.data / 2, 2)
    indices = np.repeat(plain.indices, 2)
    return type(plain)((halves, indices, 2 * plain.indptr), shape=plain.shape)


SPARSE_MESSES = {
    "unsorted": unsorted,
    "duplicates": with_duplicates,
    "both": lambda plain: unsorted(with_duplicates(plain)),
    "int64 data": lambda plain: plain.astype(np.int64),
    "bool-like data": lambda plain: plain.astype(np.int8),
}


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("mess", SPARSE_MESSES)
def test_untidy_sparse(mess, solver):
    plain = sparse.csr_array(X_SPARSE)
    untidy = SPARSE_MESSES[mess](plain)
    kept = [a.copy() for a in (untidy.data, untidy.indices, untidy.indptr)]
    assert_same_network(model(solver), plain, untidy)
    now = (untidy.data, untidy.indices, untidy.indptr)
    assert all(np.array_equal(a, b) for a, b in zip(kept, now, strict=True))


@pytest.mark.parametrize("solver", SOLVERS)
def test_explicit_zeros(solver):
    full = sparse.csr_array(np.where(X_SPARSE == 0, 1.0, X_SPARSE))
    full.data[(X_SPARSE == 0).ravel()] = 0.0
    assert full.nnz == X_SPARSE.size
    plain = model(solver).fit(sparse.csr_array(X_SPARSE), Y)
    found = model(solver).fit(full, Y)
    for one, other in zip(found.coefs_, plain.coefs_, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_read_only_sparse():
    plain = sparse.csr_array(X_SPARSE)
    locked = sparse.csr_array(
        (read_only(plain.data), read_only(plain.indices), read_only(plain.indptr)),
        shape=plain.shape,
    )
    assert_same_network(model(), plain, locked)


def test_empty_sparse_rows_and_columns():
    holed = X_SPARSE.copy()
    holed[::3] = 0
    holed[:, 4] = 0
    found = model().fit(sparse.csr_array(holed), Y)
    dense = model().fit(holed, Y)
    np.testing.assert_allclose(
        found.predict_proba(sparse.csr_array(holed)),
        dense.predict_proba(holed),
        rtol=1e-9,
    )


def test_sparse_without_entries():
    nothing = sparse.csr_array((60, 8))
    found = model().fit(nothing, Y)
    dense = model().fit(np.zeros((60, 8)), Y)
    np.testing.assert_allclose(found.predict_proba(nothing), dense.predict_proba(X * 0))


def test_one_compilation_a_dtype():
    """What layouts would otherwise cost: one more compilation each."""
    assert_same_network(model(), X, X)
    assert_same_network(model(), sparse.csr_array(X_SPARSE), sparse.csr_array(X_SPARSE))
    entry_points = (train.train, predict.predict, train.differentiate)
    before = [len(kernel.signatures) for kernel in entry_points]
    for form in DENSE_FORMS.values():
        model().fit(form(X), Y).predict(form(X))
    for mess in SPARSE_MESSES.values():
        untidy = mess(sparse.csr_array(X_SPARSE))
        model().fit(untidy, Y).predict(untidy)
    assert [len(kernel.signatures) for kernel in entry_points] == before


def peak_memory(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module")
def large():
    x = np.random.default_rng(0).standard_normal((100_000, 40))
    return x, (x[:, 0] > 0).astype(int)


def big_model(solver="adam", **settings):
    return MLPClassifier((4,), solver=solver, max_iter=1, random_state=0, **settings)


def compiled(estimator, x, y):
    """The estimator after a fit and a prediction: compiling takes memory too."""
    estimator.fit(x[:500], y[:500]).predict_proba(x[:500])
    return estimator


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("solver", SOLVERS)
def test_contiguous_data_are_not_copied(large, solver, dtype):
    x, y = large
    x = x.astype(dtype)
    estimator = compiled(big_model(solver), x, y)
    assert peak_memory(lambda: estimator.fit(x, y)) < 0.5 * x.nbytes
    assert peak_memory(lambda: estimator.predict_proba(x)) < 0.5 * x.nbytes


def test_read_only_data_are_not_copied(large):
    x, y = large
    estimator = compiled(big_model(), x, y)
    view = x.view()
    view.flags.writeable = False
    assert peak_memory(lambda: estimator.fit(view, y)) < 0.5 * x.nbytes


def test_early_stopping_does_not_copy_the_data(large):
    x, y = large
    estimator = compiled(big_model(early_stopping=True), x, y)
    assert peak_memory(lambda: estimator.fit(x, y)) < 0.5 * x.nbytes


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_data_are_never_made_dense(solver, dtype):
    n_rows, n_columns = 2000, 200_000
    x = sparse.random_array(
        (n_rows, n_columns),
        density=1e-4,
        format="csr",
        dtype=dtype,
        random_state=np.random.default_rng(0),
    )
    y = np.arange(n_rows) % 2
    estimator = compiled(big_model(solver, max_fun=3), x, y)
    parameters = 4 * n_columns * dtype().itemsize
    dense = n_rows * n_columns * dtype().itemsize
    used = peak_memory(lambda: estimator.fit(x, y))
    # L-BFGS keeps ten pairs of vectors in float64.
    assert used < (20 if solver == "adam" else 100) * parameters < 0.25 * dense
    assert peak_memory(lambda: estimator.predict(x)) < 10 * parameters


def test_a_stream_of_wide_sparse_rows_is_never_made_dense():
    n_rows, n_columns = 1000, 100_000
    rng = np.random.default_rng(0)
    chunks = [
        sparse.random_array(
            (n_rows, n_columns),
            density=1e-4,
            format="csr",
            dtype=np.float32,
            random_state=rng,
        )
        for _ in range(3)
    ]
    y = np.arange(n_rows) % 2
    for chunk in chunks:
        chunk.indices = chunk.indices.astype(np.int64)
        chunk.indptr = chunk.indptr.astype(np.int64)
    estimator = big_model().partial_fit(chunks[0], y, classes=[0, 1])

    def stream():
        for chunk in chunks:
            estimator.partial_fit(chunk, y)

    parameters = estimator.coefs_[0].nbytes
    assert estimator.coefs_[0].dtype == np.float32
    assert peak_memory(stream) < 10 * parameters < 0.25 * 4 * n_rows * n_columns


@pytest.mark.parametrize("solver", [*SOLVERS, "sgd"])
@pytest.mark.parametrize(
    ("parameter", "given", "expected"),
    [
        (None, np.float32, np.float32),
        (None, np.float64, np.float64),
        (None, np.int64, np.float64),
        (None, np.float16, np.float64),
        ("float32", np.float64, np.float32),
        ("float32", np.int64, np.float32),
        ("float64", np.float32, np.float64),
        ("float64", np.float64, np.float64),
    ],
)
def test_dtype_parameter(parameter, given, expected, solver):
    x = X.astype(given)
    estimator = model(solver, dtype=parameter).fit(x, Y)
    arrays = [*estimator.coefs_, *estimator.intercepts_]
    assert {array.dtype for array in arrays} == {np.dtype(expected)}
    assert estimator.predict_proba(x).dtype == expected
    # Predictions have the network's dtype, whatever X has.
    assert estimator.predict_proba(x.astype(np.float64)).dtype == expected
    plain = model(solver).fit(X.astype(expected), Y)
    assert bits(estimator) == bits(plain)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dtype_parameter_with_sparse(dtype):
    estimator = model(dtype=dtype).fit(sparse.csr_array(X_SPARSE), Y)
    assert estimator.coefs_[0].dtype == dtype


def test_regressor_predicts_in_the_networks_dtype():
    estimator = model(kind=MLPRegressor, dtype="float32").fit(X, YR)
    assert estimator.predict(X).dtype == np.float32


def test_float32_agrees_with_float64():
    double = model(max_iter=20).fit(X, Y)
    single = model(max_iter=20, dtype="float32").fit(X, Y)
    np.testing.assert_allclose(
        single.predict_proba(X), double.predict_proba(X), atol=1e-3
    )


THREADS = (1, 2, 3, 5, 8)
WIDE_X, WIDE_Y = make_classification(
    n_samples=333, n_features=37, n_informative=9, n_classes=3, random_state=0
)
THREAD_CASES = {
    "adam": {},
    "sgd": {"solver": "sgd"},
    "lbfgs": {"solver": "lbfgs"},
    "float32": {"dtype": "float32"},
    "float32 lbfgs": {"dtype": "float32", "solver": "lbfgs"},
    "early stopping": {"early_stopping": True},
    "one batch": {"batch_size": 333},
    "odd batches": {"batch_size": 17},
}


def results_with_threads(monkeypatch, n_threads, x, settings):
    """Bits of the network and of predictions, from exactly `n_threads` threads."""
    seen = []

    def threads_for(work, n_jobs, *least):
        seen.append(n_jobs)
        return n_threads

    monkeypatch.setattr(plan, "threads_for", threads_for)
    settings = {"batch_size": 64, "max_iter": 4, **settings}
    estimator = MLPClassifier((29, 11), random_state=0, **settings).fit(x, WIDE_Y)
    weighted = clone(estimator).fit(x, WIDE_Y, sample_weight=1.0 + WIDE_Y)
    probabilities = estimator.predict_proba(x)
    assert seen
    return bits(estimator), bits(weighted), probabilities.tobytes()


@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("case", THREAD_CASES)
def test_same_bits_for_any_number_of_threads(monkeypatch, case, form):
    x = np.where(np.abs(WIDE_X) > 0.5, WIDE_X, 0.0)
    x = sparse.csr_array(x) if form == "sparse" else x
    found = [
        results_with_threads(monkeypatch, n_threads, x, THREAD_CASES[case])
        for n_threads in THREADS
    ]
    assert all(result == found[0] for result in found)


@pytest.mark.parametrize("form", ["dense", "sparse"])
def test_same_predictions_for_any_number_of_threads(monkeypatch, form):
    """Over enough rows that every thread has a block of its own."""
    x = np.random.default_rng(0).standard_normal((9000, 37)) ** 3
    x = sparse.csr_array(np.where(np.abs(x) > 1, x, 0)) if form == "sparse" else x
    estimator = MLPClassifier((29, 11), max_iter=2, random_state=0)
    estimator.fit(WIDE_X, WIDE_Y)
    found = []
    for n_threads in THREADS:
        monkeypatch.setattr(plan, "threads_for", lambda *a, n=n_threads: n)
        found.append(estimator.predict_proba(x).tobytes())
    assert all(result == found[0] for result in found)


@pytest.mark.parametrize("n_jobs", [1, 2, 5, -1, -2, -100, None])
def test_n_jobs_changes_nothing(n_jobs):
    settings = {"hidden_layer_sizes": (300, 200), "max_iter": 2, "random_state": 0}
    expected = MLPClassifier(n_jobs=1, **settings).fit(WIDE_X, WIDE_Y)
    found = MLPClassifier(n_jobs=n_jobs, **settings).fit(WIDE_X, WIDE_Y)
    assert bits(found) == bits(expected)
