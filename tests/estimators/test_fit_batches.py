"""`fit_batches`: the numbers of `fit`, from chunks that need not fit into memory."""

import signal
import threading
import time
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends import cpu
from skmlp.estimators.callbacks import FitCallback
from skmlp.training.shuffle_buffer import Rows, ShuffleBuffer, ShuffledFills

RNG = np.random.default_rng(0)
N_ROWS = 600
X = RNG.standard_normal((N_ROWS, 5))
Y = (X @ [1, -1, 0.5, 0, 0] > 0).astype(int) + (X[:, 3] > 1)
TARGET = 3 * X[:, 0] - X[:, 1] ** 2 + 5
WEIGHTS = np.where(np.arange(N_ROWS) % 7, RNG.uniform(0.5, 2.0, N_ROWS), 0.0)
VAL = {"X_val": X[:150], "y_val": Y[:150]}


def chunked(*arrays, rows=130):
    """A function that makes the chunks of some arrays."""

    def make_chunks():
        for start in range(0, arrays[0].shape[0], rows):
            yield tuple(array[start : start + rows] for array in arrays)

    return make_chunks


def classifier(**parameters):
    settings = {"hidden_layer_sizes": (6,), "max_iter": 5, "random_state": 0}
    return MLPClassifier(**{**settings, **parameters})


def regressor(**parameters):
    settings = {"hidden_layer_sizes": (6,), "max_iter": 5, "random_state": 0}
    return MLPRegressor(**{**settings, **parameters})


def trained(method, *arguments, **keywords):
    """A fit of a few epochs, whose warning about these is expected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return method(*arguments, **keywords)


def assert_same_network(model, other):
    assert model.loss_curve_ == other.loss_curve_
    for mine, theirs in zip(model.coefs_, other.coefs_, strict=True):
        assert_array_equal(mine, theirs)


def threads_of_chunks():
    return [each for each in threading.enumerate() if each.name == "skmlp chunks"]


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"shuffle": False},
        {"batch_size": 64, "dropout": 0.2, "solver": "sgd"},
        {"learning_rate": "one_cycle", "weight_decay": 0.01},
        {"normalization": "batch"},
        {"embedding": "piecewise_linear"},
        {"class_weight": "balanced"},
        {"class_weight": {0: 2.0, 1: 0.0}},
        {"logit_adjustment": 1.0},
        {"prior": "uniform"},
        {"early_stopping": True, "scoring": "loss"},
        {"dtype": "float32"},
        {"weight_init": "data_driven"},
    ],
    ids=str,
)
def test_rows_that_fit_into_the_buffer_give_the_network_of_fit(parameters):
    data = VAL if "early_stopping" in parameters else {}
    model = trained(classifier(**parameters).fit, X, Y, **data)
    other = trained(classifier(**parameters).fit_batches, chunked(X, Y), **data)
    assert_same_network(other, model)
    assert other.get_params() == model.get_params()
    assert_array_equal(other.classes_, model.classes_)
    assert other.t_ == model.t_
    assert other.n_iter_ == model.n_iter_
    assert other.validation_scores_ == model.validation_scores_
    assert other.best_iter_ == model.best_iter_
    assert_array_equal(other.predict_proba(X), model.predict_proba(X))


@pytest.mark.parametrize("storage", [np.asarray, sparse.csr_array])
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"dropout": 0.2, "solver": "sgd"},
        {"normalization": "batch"},
        {"max_grad_norm": 0.1, "max_norm": 1.0},
        {"embedding": "piecewise_linear"},
        {"class_weight": "balanced", "n_jobs": 1},
    ],
    ids=str,
)
def test_a_session_that_goes_on_trains_as_new_ones(monkeypatch, parameters, storage):
    if "embedding" in parameters and storage is not np.asarray:
        pytest.skip("numbers of sparse X are not embedded")
    make_chunks = chunked(storage(X), Y, WEIGHTS)
    model = classifier(batch_size=32, **parameters)
    reused = trained(model.fit_batches, make_chunks, buffer_rows=100)
    monkeypatch.delattr(cpu.session.Session, "replace_rows")
    model = classifier(batch_size=32, **parameters)
    reopened = trained(model.fit_batches, make_chunks, buffer_rows=100)
    assert_same_network(reused, reopened)


@pytest.mark.parametrize("scale_target", [False, True])
def test_regression_is_that_of_fit(scale_target):
    model = trained(regressor(scale_target=scale_target).fit, X, TARGET, WEIGHTS)
    other = trained(
        regressor(scale_target=scale_target).fit_batches, chunked(X, TARGET, WEIGHTS)
    )
    assert other.t_ == 5 * np.count_nonzero(WEIGHTS)
    assert_allclose(other.loss_curve_, model.loss_curve_, rtol=1e-12)
    assert_allclose(other.predict(X), model.predict(X), rtol=1e-9)


@pytest.mark.parametrize("constant", [False, True])
def test_scale_of_target_is_that_of_all_chunks(constant):
    y = np.column_stack([TARGET * 1e200, np.arange(N_ROWS) > 300, X[:, 0] + 1e6])
    if constant:
        y = np.full((N_ROWS, 3), 0.1) * [1, 0, 1e300]
    settings = {"scale_target": True, "max_iter": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = regressor(**settings).fit(X, y)
        parts = regressor(**settings).fit_batches(chunked(X, y, rows=97))
    assert_allclose(parts.target_mean_, whole.target_mean_, rtol=1e-12, atol=1e-12)
    assert_allclose(parts.target_scale_, whole.target_scale_, rtol=1e-9)


@pytest.mark.parametrize(
    "make_y",
    [
        lambda: np.column_stack([X[:, 0] > 0, X[:, 1] > 0.5]).astype(int),
        lambda: sparse.csr_array((X[:, :3] > 0).astype(int)),
        lambda: np.column_stack([Y, Y[::-1] % 2]),
        lambda: np.array(["low", "mid", "high"])[Y],
        lambda: Y > 0,
    ],
    ids=["labels", "sparse labels", "columns", "strings", "booleans"],
)
def test_all_kinds_of_classes(make_y):
    y = make_y()
    model = trained(classifier().fit, X, y)
    other = trained(classifier().fit_batches, chunked(X, y))
    assert_same_network(other, model)
    assert_array_equal(other.classes_[0], model.classes_[0])


@pytest.mark.parametrize("target", ["classes", "labels"])
def test_shares_are_those_of_all_weighted_chunks(target):
    y = Y if target == "classes" else (X[:, :3] > 0.4).astype(int)
    settings = {"logit_adjustment": 0.5, "prior": "uniform"}
    model = trained(classifier(**settings).fit, X, y, WEIGHTS)
    other = trained(
        classifier(**settings).fit_batches,
        chunked(X, y, WEIGHTS, rows=70),
        buffer_rows=400,
    )
    assert_allclose(other.class_shares_, model.class_shares_, rtol=1e-12)


def test_classes_of_ordinal_loss_are_in_order():
    make_chunks = chunked(X[np.argsort(Y)], np.sort(Y))
    model = trained(classifier(loss="ordinal").fit_batches, make_chunks)
    assert model.class_order_.tolist() == [0, 1, 2]


def test_chunks_sorted_by_class_have_all_classes():
    order = np.argsort(Y, kind="stable")
    make_chunks = chunked(X[order], Y[order], rows=40)
    model = trained(classifier().fit_batches, make_chunks)
    assert model.classes_.tolist() == [0, 1, 2]


def test_classes_can_be_declared():
    model = trained(
        classifier().fit_batches, chunked(X, Y.clip(0, 1)), classes=[2, 0, 1]
    )
    assert model.predict_proba(X).shape == (N_ROWS, 3)


def test_sparse_chunks():
    x = sparse.csr_array(np.where(RNG.random((N_ROWS, 20)) < 0.2, 1.0, 0.0))
    model = trained(classifier().fit, x, Y)
    assert_same_network(
        trained(classifier().fit_batches, chunked(x, Y, rows=77)), model
    )
    buffered = trained(
        classifier(batch_size=32).fit_batches, chunked(x, Y), buffer_rows=100
    )
    assert buffered.t_ == model.t_
    assert buffered.loss_curve_[-1] < buffered.loss_curve_[0]


@pytest.mark.parametrize("buffer_rows", [64, 100, 333, N_ROWS])
@pytest.mark.parametrize("rows", [1, 50, 130, N_ROWS])
def test_every_row_is_trained_on_once_an_epoch(buffer_rows, rows):
    make_chunks = chunked(*(np.arange(N_ROWS, dtype=float).reshape(-1, 1),) * 2)
    buffer = ShuffleBuffer(
        lambda: (Rows(x, y, None) for x, y in make_chunks()), buffer_rows
    )
    fills = ShuffledFills(buffer, n_epochs=2)
    fills.generator = np.random.RandomState(0)
    for _ in range(2):
        seen, sizes = [], []
        while len(seen) < N_ROWS:
            part, order = fills.next(32)
            assert_array_equal(part.x, part.targets)
            seen += part.x[order, 0].tolist()
            sizes.append(len(order))
        assert sorted(seen) == list(range(N_ROWS))
        assert seen != sorted(seen)
        assert not any(size % 32 for size in sizes[:-1])
        assert max(sizes) <= buffer_rows
    fills.close()


def test_shuffle_reaches_beyond_the_chunk_and_not_beyond_the_buffer():
    rows = np.arange(10_000, dtype=float).reshape(-1, 1)
    make_chunks = chunked(rows, rows, rows=100)
    fills = ShuffledFills(
        ShuffleBuffer(lambda: (Rows(x, y, None) for x, y in make_chunks()), 1000), 1
    )
    fills.generator = np.random.RandomState(0)
    places = []
    while len(places) < len(rows):
        part, order = fills.next(50)
        places += part.x[order, 0].tolist()
    fills.close()
    early = np.arange(len(rows)) - places
    assert early.min() >= -1000  # no row before it is in the buffer
    assert 250 < np.abs(early).mean() < 1000


def test_same_numbers_at_every_call_and_for_other_chunks():
    settings = {"buffer_rows": 200}
    model = trained(classifier(batch_size=30).fit_batches, chunked(X, Y), **settings)
    for rows in (130, 17):
        again = trained(
            classifier(batch_size=30).fit_batches, chunked(X, Y, rows=rows), **settings
        )
        assert_same_network(again, model)


def test_early_stopping_ends_the_training_and_the_reading():
    calls = []

    def make_chunks():
        calls.append(len(calls))
        return chunked(X, Y)()

    model = classifier(
        early_stopping=True, n_iter_no_change=3, tol=0.5, scoring="loss", max_iter=100
    )
    model.fit_batches(make_chunks, **VAL)
    assert model.n_iter_ < 10
    assert model.best_iter_ <= model.n_iter_
    assert len(calls) <= model.n_iter_ + 2  # the first pass, and one ahead
    assert not threads_of_chunks()


def test_n_epochs_are_those_of_the_schedule():
    model = classifier(learning_rate="cosine", max_iter=100)
    model.fit_batches(chunked(X, Y), 4)
    assert model.n_iter_ == 4
    assert model.max_iter == 100
    expected = trained(classifier(learning_rate="cosine", max_iter=4).fit, X, Y)
    assert_same_network(model, expected)


def test_warm_start_goes_on():
    model = classifier(warm_start=True)
    trained(model.fit_batches, chunked(X, Y))
    before = model.loss_curve_[-1]
    trained(model.fit_batches, chunked(X, Y.clip(0, 1)), 2)
    assert len(model.loss_curve_) == 7
    assert model.loss_curve_[-1] < before * 1.1
    with pytest.raises(ValueError, match="are not those of the fitted network"):
        model.fit_batches(chunked(X, Y), classes=[0, 1])
    with pytest.raises(ValueError, match=r"In chunk 2: .*classes not in"):
        model.fit_batches(chunked(X, np.where(np.arange(N_ROWS) < 200, Y, 7)))


def test_a_second_fit_begins_anew():
    model = classifier()
    trained(model.fit_batches, chunked(X[:, :3], Y > 0))
    trained(model.fit_batches, chunked(X, Y))
    assert_same_network(model, trained(classifier().fit, X, Y))


def test_partial_fit_goes_on_and_resume_does_not():
    model = trained(classifier().fit_batches, chunked(X, Y))
    with pytest.raises(ValueError, match="or fit_batches"):
        model.resume(X, Y, max_iter=9)
    assert len(model.partial_fit(X, Y).loss_curve_) == 6


def test_limit_warning_does_not_advise_to_resume():
    with pytest.warns(ConvergenceWarning, match=r"converged yet\.$"):
        classifier().fit_batches(chunked(X, Y))


def test_time_limit():
    def slow():
        for chunk in chunked(X, Y)():
            time.sleep(0.02)
            yield chunk

    model = classifier(max_time=0.2, max_iter=10_000)
    trained(model.fit_batches, slow)
    assert model.n_iter_ < 100
    assert not threads_of_chunks()


@pytest.mark.parametrize("frame", ["pandas", "polars"])
def test_data_frames_keep_their_names(frame):
    library = pytest.importorskip(frame)
    names = [f"f{c}" for c in range(5)]
    data = library.DataFrame(dict(zip(names, X.T, strict=True)))
    model = trained(classifier().fit_batches, chunked(data, Y))
    assert model.feature_names_in_.tolist() == names
    assert_same_network(model, trained(classifier().fit, data, Y))


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int16])
def test_arrow_batches(dtype):
    arrow = pytest.importorskip("pyarrow")
    x = (10 * X).astype(dtype)
    names = [f"f{c}" for c in range(5)]
    columns = {name: arrow.array(x[:, c]) for c, name in enumerate(names)}
    table = arrow.table(columns | {"y": np.array(["a", "b", "c"])[Y], "w": WEIGHTS})

    def make_chunks():
        for batch in table.to_batches(max_chunksize=100):
            yield batch.select(names), batch["y"], batch["w"]

    weighted = trained(classifier().fit_batches, make_chunks)
    whole = trained(classifier().fit, x, np.array(["a", "b", "c"])[Y], WEIGHTS)
    assert_allclose(weighted.loss_curve_, whole.loss_curve_, rtol=1e-6)
    assert weighted.coefs_[0].dtype == whole.coefs_[0].dtype
    tables = trained(
        classifier().fit_batches, lambda: [(table.select(names), table["y"])]
    )
    assert tables.classes_.tolist() == ["a", "b", "c"]
    if pytest.importorskip("pandas"):
        assert weighted.feature_names_in_.tolist() == names


def test_arrow_column_that_is_no_number():
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"a": [1.0, 2.0], "b": ["x", "y"]})
    with pytest.raises(ValueError, match=r"In chunk 1: column 'b' of X has the Arrow"):
        classifier().fit_batches(lambda: [(table, [0, 1])])


def test_memory_map_is_read_by_chunks(tmp_path):
    path = tmp_path / "x.dat"
    X.astype(np.float32).tofile(path)
    data = np.memmap(path, np.float32, "r", shape=X.shape)
    model = trained(classifier().fit_batches, chunked(data, Y))
    assert_same_network(model, trained(classifier().fit, X.astype(np.float32), Y))


def test_chunks_without_rows_or_weight_are_passed_over():
    def make_chunks():
        yield X[:0], Y[:0], WEIGHTS[:0]
        yield X[:300], Y[:300], WEIGHTS[:300]
        yield X[:50], Y[:50], np.zeros(50)
        yield X[300:], Y[300:], WEIGHTS[300:]

    model = trained(classifier().fit_batches, make_chunks)
    expected = trained(classifier().fit, X, Y, WEIGHTS)
    assert_allclose(model.loss_curve_, expected.loss_curve_, rtol=1e-12)


def other(chunk_number, change):
    """Chunks of which one is another."""

    def make_chunks():
        for number, (x, y) in enumerate(chunked(X, Y)(), start=1):
            yield change(x, y) if number == chunk_number else (x, y)

    return make_chunks


def with_nan(x, y):
    x = x.copy()
    x[3, 1] = np.nan
    return x, y


GENERATOR = chunked(X, Y)()
BAD_INPUT = {
    "width": (other(3, lambda x, y: (x[:, :4], y)), "chunk 3 has 4 features, but"),
    "nan": (other(2, with_nan), "In chunk 2: Input X contains NaN"),
    "nan first": (other(1, with_nan), "In chunk 1: Input X contains NaN"),
    "rows": (other(2, lambda x, y: (x, y[:9])), r"In chunk 2: .*inconsistent"),
    "vector": (other(2, lambda x, y: (x[:, 0], y)), "In chunk 2: X has shape"),
    "strings": (
        other(4, lambda x, y: (x.astype(str), y)),
        "In chunk 4: .*X to numbers",
    ),
    "labels": (other(2, lambda x, y: (x, y + 0.5)), "In chunk 2: .*continuous"),
    "sparse": (
        other(2, lambda x, y: (sparse.csr_array(x), y)),
        "chunk 2 is sparse, but chunk 1 is dense",
    ),
    "weights": (
        other(2, lambda x, y: (x, y, np.ones(len(y)))),
        "chunk 2 has weights, but chunk 1 has no weights",
    ),
    "columns": (
        other(2, lambda x, y: (x, np.column_stack([y, y]))),
        "In chunk 2: y is another kind of target",
    ),
    "three": (other(2, lambda x, y: (x,)), "chunk 2 must be a tuple .*tuple of 1"),
    "x alone": (other(2, lambda x, y: x), "chunk 2 must be a tuple .*got ndarray"),
    "empty": (lambda: [], "chunks without any row"),
    "no iterable": (lambda: None, "must return an iterable of chunks .*NoneType"),
    "not callable": ([(X, Y)], "must be a function .*got list"),
    "generator": (GENERATOR, "must be a function .*got generator"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_chunks_are_named(name):
    make_chunks, message = BAD_INPUT[name]
    model = classifier()
    with pytest.raises((ValueError, TypeError), match=message):
        model.fit_batches(make_chunks)
    assert vars(model) == vars(clone(model))
    assert not threads_of_chunks()


def test_exhausted_generator():
    chunks = chunked(X, Y)()
    with pytest.raises(ValueError, match=r"Epoch 1 .* no row.* generator"):
        classifier().fit_batches(lambda: chunks)


@pytest.mark.parametrize("rows", [500, 700])
def test_epochs_of_other_lengths(rows):
    calls = []

    def make_chunks():
        calls.append(None)
        ids = np.arange(rows if len(calls) == 3 else N_ROWS) % N_ROWS
        return chunked(X[ids], Y[ids])()

    with pytest.raises(ValueError, match=f"Epoch 2 .*has {rows} rows.*found 600"):
        classifier().fit_batches(make_chunks)


def test_labels_that_are_not_declared():
    with pytest.raises(ValueError, match=r"In chunk 1: .*classes not in"):
        classifier().fit_batches(chunked(X, Y), classes=[0, 1])


@pytest.mark.parametrize(
    ("parameters", "keywords", "message"),
    [
        ({"sampling": "balanced"}, {}, "sampling='balanced' is not supported"),
        ({"prior": [0.4, 0.6]}, {}, "prior has shape"),
        ({"early_stopping": True}, {}, "without X_val and y_val"),
        ({"batch_size": 100}, {"buffer_rows": 150}, "at least two minibatches"),
        ({}, {"buffer_rows": 0}, "buffer_rows must be a positive integer, got 0"),
        ({}, {"n_epochs": 1.5}, "n_epochs must be a positive integer, got 1.5"),
        ({}, {"X_val": X}, "X_val is provided, but y_val was not"),
        ({"class_weight": {5: 2.0}}, {}, "class_weight has a weight for 5"),
    ],
    ids=str,
)
def test_unsupported_settings(parameters, keywords, message):
    model = classifier(**parameters)
    with pytest.raises(ValueError, match=message):
        model.fit_batches(chunked(X, Y), **keywords)
    assert not threads_of_chunks()


def test_lbfgs_has_no_such_method():
    with pytest.raises(AttributeError) as caught:
        _ = classifier(solver="lbfgs").fit_batches
    assert "needs all rows for a step" in str(caught.value.__cause__)


def test_error_of_the_user_s_generator_is_raised_as_it_is():
    calls = []

    def make_chunks():
        calls.append(None)
        for chunk in chunked(X, Y)():
            if len(calls) == 4:
                raise OSError("the disk is gone")
            yield chunk

    model = trained(classifier().fit, X, Y)
    before = dict(vars(model))
    with pytest.raises(OSError, match="the disk is gone"):
        model.fit_batches(make_chunks)
    assert vars(model) == before
    assert not threads_of_chunks()


def test_generator_is_closed_and_runs_in_one_thread():
    closed, threads = [], set()

    def make_chunks():
        try:
            for chunk in chunked(X, Y)():
                threads.add(threading.current_thread())
                yield chunk
        finally:
            closed.append(None)

    trained(classifier(batch_size=50).fit_batches, make_chunks, 3, buffer_rows=100)
    assert len(closed) == 4
    assert len(threads - {threading.main_thread()}) == 1
    closed.clear()
    model = classifier(batch_size=50, max_time=1e-9)
    trained(model.fit_batches, make_chunks, 3, buffer_rows=100)
    assert len(closed) == 2
    assert not threads_of_chunks()


def test_ctrl_c_ends_training_and_thread():
    def make_chunks():
        for number, chunk in enumerate(chunked(X, Y, rows=50)()):
            is_background = threading.current_thread() is not threading.main_thread()
            if number == 6 and is_background:
                signal.raise_signal(signal.SIGINT)
            yield chunk

    model = classifier(batch_size=25, max_iter=1000)
    with pytest.warns(UserWarning, match=r"Training interrupted by user\.$"):
        model.fit_batches(make_chunks, buffer_rows=100)
    assert model.n_iter_ == 1
    assert not threads_of_chunks()


class Recorder:
    """A callback that notes the losses of epochs, and stops after some."""

    def __init__(self, n_epochs):
        self.n_epochs = n_epochs
        self.losses = []

    def setup(self, estimator, context):
        self.max_subtasks = context.max_subtasks

    def teardown(self, estimator, context):
        self.ended = True

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        assert X is None

    def on_fit_task_end(
        self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator
    ):
        if context.task_name == "epoch":
            self.losses.append(fitted_estimator.loss_)
        return len(self.losses) == self.n_epochs


@pytest.mark.skipif(FitCallback is None, reason="callbacks came with scikit-learn 1.9")
def test_callbacks_hear_of_epochs():
    recorder = Recorder(3)
    model = classifier(max_iter=50).set_callbacks(recorder)
    model.fit_batches(chunked(X, Y), 7)
    assert recorder.losses == model.loss_curve_ != []
    assert (model.n_iter_, recorder.max_subtasks, recorder.ended) == (3, 7, True)
    assert not threads_of_chunks()
