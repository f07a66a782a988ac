"""scikit-learn's callbacks: which tasks they see, what they get, and how they stop."""

import copy
import pickle
import re
import sys
import types
from pathlib import Path

import joblib
import numpy as np
import pytest
import sklearn
from numpy.testing import assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skmlp
from skmlp import MLPAutoencoder, MLPClassifier, MLPRegressor
from skmlp.backends import cpu
from skmlp.estimators import callbacks
from skmlp.training import minibatch

HAS_CALLBACKS = callbacks.FitCallback is not None
needs_callbacks = pytest.mark.skipif(
    not HAS_CALLBACKS, reason="callbacks came with scikit-learn 1.9"
)
DOCS = Path(__file__).parents[2] / "docs"

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.IneffectiveParameterWarning"),
    pytest.mark.filterwarnings("ignore::skmlp.exceptions.DeadUnitsWarning"),
]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6))
Y = (X[:, 0] * X[:, 1] > 0).astype(int)
WEIGHTS = RNG.uniform(0.5, 1.5, size=len(X))
EPOCHS = 6


class Recorder:
    """Notes what its hooks are called with; `at_end` says what the last one returns."""

    def __init__(self, at_end=lambda *arguments: None):
        self.notes = []
        self.at_end = at_end

    def names(self):
        return [(hook, c.task_name, c.task_id) for hook, c in self.notes]

    def setup(self, estimator, context):
        self.notes.append(("setup", context))

    def teardown(self, estimator, context):
        self.notes.append(("teardown", context))

    def on_fit_task_begin(self, estimator, context):
        self.notes.append(("begin", context))

    def on_fit_task_end(
        self,
        estimator,
        context,
        *,
        X=None,
        y=None,
        metadata=None,
        fitted_estimator=None,
    ):
        self.notes.append(("end", context))
        given = types.SimpleNamespace(X=X, y=y, metadata=metadata)
        return self.at_end(estimator, context, given, fitted_estimator)


class Idle:
    """Hooks that do nothing, and ask for nothing."""

    def setup(self, estimator, context):
        pass

    teardown = on_fit_task_begin = on_fit_task_end = setup


def model(cls=MLPClassifier, **parameters):
    parameters = {"max_iter": EPOCHS, "random_state": 0, **parameters}
    parameters["hidden_layer_sizes"] = (6, 2, 6) if cls is MLPAutoencoder else (8,)
    return cls(**parameters)


def bits(estimator):
    parts = [*estimator.coefs_, *estimator.intercepts_]
    return [part.tobytes() for part in parts] + [list(estimator.history_["loss"])]


# --- with an old scikit-learn ---


def test_set_callbacks_is_there_or_says_what_it_needs():
    for estimator in (model(), model(MLPRegressor), skmlp.TabularMLPClassifier()):
        assert hasattr(estimator, "set_callbacks") == HAS_CALLBACKS
        assert ("set_callbacks" in dir(estimator)) == HAS_CALLBACKS
        if not HAS_CALLBACKS:
            message = f"set_callbacks.*need scikit-learn 1.9.*{sklearn.__version__}"
            with pytest.raises(AttributeError, match=message):
                estimator.set_callbacks()
            with pytest.raises(AttributeError, match=r"has no attribute 'other'$"):
                _ = estimator.other


# --- the tasks ---


@needs_callbacks
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("cls", [MLPClassifier, MLPRegressor, MLPAutoencoder])
def test_a_fit_is_a_task_and_its_epochs_are_tasks_of_it(cls, solver):
    recorder = Recorder()
    estimator = model(cls, solver=solver).set_callbacks(recorder).fit(X, Y)
    name = "epoch" if solver == "adam" else "iteration"
    assert recorder.names() == [
        ("setup", "fit", 0),
        ("begin", "fit", 0),
        *((hook, name, i) for i in range(EPOCHS) for hook in ("begin", "end")),
        ("end", "fit", 0),
        ("teardown", "fit", 0),
    ]
    assert estimator.n_iter_ == EPOCHS
    root = recorder.notes[0][1]
    assert (root.max_subtasks, root.sequential_subtasks) == (EPOCHS, True)
    assert all(c.parent is root for _, c in recorder.notes if c.task_name == name)


@needs_callbacks
def test_an_iteration_that_comes_to_nothing_is_a_task_that_ends():
    """L-BFGS gives up at its largest number of calls, in the middle of a search."""
    views = []
    recorder = Recorder(lambda e, context, given, view: views.append(view))
    estimator = model(solver="lbfgs", max_fun=4, max_iter=50).set_callbacks(recorder)
    estimator.fit(X, Y)
    names = [name for name in recorder.names() if name[1] == "iteration"]
    begun = [i for hook, _, i in names if hook == "begin"]
    assert begun == [i for hook, _, i in names if hook == "end"]
    assert begun == [*range(len(begun))]
    assert len(begun) - estimator.n_iter_ in (0, 1)
    assert [view is None for view in views[:-1]].count(False) == estimator.n_iter_


@needs_callbacks
def test_hooks_get_what_the_user_has_passed():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(X, columns=list("abcdef"))
    labels = np.array(["no", "yes"])[Y]

    def check(estimator, context, given, view):
        assert given.X is frame
        assert given.y is labels
        assert given.metadata["sample_weight"] is WEIGHTS
        assert list(given.metadata) == ["sample_weight"]
        # Without a warning about names.
        assert set(view.predict(given.X)) <= {"no", "yes"}

    estimator = model().set_callbacks(Recorder(check))
    estimator.fit(frame, labels, WEIGHTS)
    without = Recorder(lambda e, c, given, view: given.metadata is not None)
    assert model().set_callbacks(without).fit(X, Y).n_iter_ == EPOCHS


@needs_callbacks
def test_resume_is_a_task_and_partial_fit_is_none():
    recorder = Recorder()
    estimator = model().fit(X, Y).set_callbacks(recorder)
    estimator.resume(X, Y, max_iter=EPOCHS + 2)
    assert recorder.names() == [
        ("setup", "resume", 0),
        ("begin", "resume", 0),
        *((hook, "epoch", i) for i in range(2) for hook in ("begin", "end")),
        ("end", "resume", 0),
        ("teardown", "resume", 0),
    ]
    assert recorder.notes[0][1].max_subtasks == 2
    recorder.notes.clear()
    with pytest.warns(UserWarning, match="resume changes nothing"):
        estimator.resume(X, Y, max_iter=EPOCHS + 2)
    estimator.partial_fit(X, Y)
    assert recorder.notes == []


# --- what a hook can know ---

KINDS = {
    "adam": {},
    "lbfgs": {"solver": "lbfgs"},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 50},
    "batch norm": {"normalization": "batch"},
    "dropout": {"dropout": 0.2},
    "plateau": {"learning_rate": "plateau", "plateau_patience": 1, "tol": 10.0},
    "float32": {"dtype": "float32"},
    "embedding": {"embedding": "piecewise_linear"},
}


@needs_callbacks
@pytest.mark.parametrize("kind", KINDS)
def test_the_view_is_the_model_that_a_shorter_fit_leaves(kind):
    views = {}

    def keep(estimator, context, given, view):
        if context.parent is not None:
            views[context.task_id + 1] = view
            assert estimator.history_["loss"][-1] == view.history_["loss"][-1]
            assert len(estimator.history_["loss"]) == context.task_id + 1

    whole = model(**KINDS[kind]).set_callbacks(Recorder(keep)).fit(X, Y)
    assert bits(whole) == bits(model(**KINDS[kind]).fit(X, Y))
    assert list(views) == [*range(1, EPOCHS + 1)]
    for n_epochs, view in views.items():
        expected = model(**{**KINDS[kind], "max_iter": n_epochs}).fit(X, Y)
        assert bits(view) == bits(expected)
        assert_array_equal(view.predict_proba(X), expected.predict_proba(X))
        for name in ("n_iter_", "loss_", "t_", "best_iter_", "validation_scores_"):
            assert getattr(view, name) == getattr(expected, name), name
        if kind == "lbfgs":
            continue
        # It goes on as if it had not ended, also from a file.
        for resumed in (view, pickle.loads(pickle.dumps(view))):
            assert bits(resumed.resume(X, Y, max_iter=9)) == bits(
                expected.resume(X, Y, max_iter=9)
            )
            expected = model(**{**KINDS[kind], "max_iter": n_epochs}).fit(X, Y)


@needs_callbacks
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_views_of_a_warm_start_stand_alone(solver):
    views = []
    recorder = Recorder(lambda e, c, given, view: views.append(view))
    estimator = model(warm_start=True).fit(X, Y)
    estimator.set_params(solver=solver).set_callbacks(recorder).fit(X, Y)
    before = [copy.deepcopy((bits(view), view.loss_curve_)) for view in views[:-1]]
    estimator.set_params(solver="adam").fit(X, Y).partial_fit(X, Y)
    views[0].set_params(solver="adam").partial_fit(X, Y)
    views[0].loss_curve_.append(7.0)
    for view, expected in zip(views[1:EPOCHS], before[1:], strict=True):
        assert (bits(view), view.loss_curve_) == expected
    assert 7.0 not in estimator.loss_curve_


class Sizes(Idle):
    """Notes how many bytes a pickle of each view takes."""

    def __init__(self):
        self.n_fits, self.sizes = 0, []

    def setup(self, estimator, context):
        self.n_fits += 1

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        if context.parent is not None:
            assert not fitted_estimator._skl_callbacks
            self.sizes.append(len(pickle.dumps(fitted_estimator)))
        # Neither does the estimator of the fit take along the tasks of all epochs.
        left = vars(pickle.loads(pickle.dumps(estimator)))
        assert not {"_callback_fit_ctx", "_skl_callbacks_to_teardown"} & {*left}


@needs_callbacks
def test_a_view_has_neither_callbacks_nor_the_tasks_of_the_fit():
    sizes = Sizes()
    estimator = model(max_iter=30).set_callbacks(sizes).fit(X, Y)
    # It grows by the curves alone.
    assert sizes.sizes[29] - sizes.sizes[0] < 30 * 6 * 10
    again = pickle.loads(pickle.dumps(estimator))
    assert isinstance(again._skl_callbacks[0], Sizes)
    for twin in (clone(estimator), copy.deepcopy(estimator), again):
        assert bits(twin.fit(X, Y)) == bits(estimator)
    # As in scikit-learn, clones share their callbacks, and copies have their own.
    assert clone(estimator)._skl_callbacks[0] is sizes
    assert sizes.n_fits == 2


@needs_callbacks
def test_sparse_x_and_validation_data():
    scores = []

    def check(estimator, context, given, view):
        scores.append(estimator.history_["validation_score"][-1])
        assert view.validation_scores_[-1] == scores[-1]
        # As `fit` does, it keeps the best parameters.
        assert view.score(x[:40], Y[:40]) == max(scores)

    estimator = model(early_stopping=True, best_epoch="last", n_iter_no_change=99)
    x = sparse.csr_matrix(X)
    estimator.set_callbacks(Recorder(check)).fit(x, Y, X_val=x[:40], y_val=Y[:40])
    assert len(scores) == EPOCHS + 1


# --- stopping ---


@needs_callbacks
@pytest.mark.parametrize("kind", ["adam", "lbfgs", "early stopping"])
def test_a_hook_stops_the_training(kind, recwarn):
    recorder = Recorder(lambda e, context, given, view: context.task_id == 2)
    estimator = model(**KINDS[kind]).set_callbacks(recorder).fit(X, Y)
    assert not [w for w in recwarn if issubclass(w.category, ConvergenceWarning)]
    assert estimator.n_iter_ == 3
    assert recorder.names()[-2:] == [("end", "fit", 0), ("teardown", "fit", 0)]
    assert bits(estimator) == bits(model(**{**KINDS[kind], "max_iter": 3}).fit(X, Y))
    estimator.set_callbacks()
    if kind == "lbfgs":
        estimator.set_params(warm_start=True).fit(X, Y)
        assert estimator.loss_ < model(solver="lbfgs", max_iter=3).fit(X, Y).loss_
    else:
        whole = model(**KINDS[kind]).fit(X, Y)
        assert bits(estimator.resume(X, Y)) == bits(whole)


@needs_callbacks
def test_every_epoch_ends_whatever_ends_the_training():
    recorder = Recorder()
    stopped = model(max_iter=500, tol=1.0, n_iter_no_change=2).set_callbacks(recorder)
    stopped.fit(X, Y)
    assert stopped.n_iter_ < 10
    timed = model(max_iter=10**6, tol=0.0, n_iter_no_change=10**6, max_time=0.05)
    timed.set_callbacks(timed_recorder := Recorder()).fit(X, Y)
    for found, estimator in ((recorder, stopped), (timed_recorder, timed)):
        hooks = [hook for hook, name, _ in found.names() if name == "epoch"]
        assert hooks == ["begin", "end"] * estimator.n_iter_


@needs_callbacks
@pytest.mark.parametrize("where", ["setup", "begin", "epoch", "end", "teardown"])
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_hook_that_raises(where, solver):
    class Failing(Recorder):
        def setup(self, estimator, context):
            super().setup(estimator, context)
            assert where != "setup", "on purpose"

        def teardown(self, estimator, context):
            super().teardown(estimator, context)
            assert where != "teardown", "on purpose"

        def on_fit_task_begin(self, estimator, context):
            assert where != "begin" or context.task_id < 2, "on purpose"

        def on_fit_task_end(self, estimator, context):
            is_epoch = context.parent is not None
            assert where != "epoch" or context.task_id < 2, "on purpose"
            assert where != "end" or is_epoch, "on purpose"

    estimator = model(warm_start=True, solver=solver).fit(X, Y)
    expected, names = bits(estimator), {*vars(estimator)}
    estimator.set_callbacks(failing := Failing())
    with pytest.raises(AssertionError, match="on purpose"):
        estimator.fit(X, Y)
    assert [hook for hook, _ in failing.notes] == ["setup", "teardown"]
    assert {*vars(estimator)} == names | {"_skl_callbacks"}
    # Only what is torn down has been fitted.
    assert (bits(estimator) == expected) == (where != "teardown")


@needs_callbacks
def test_bad_input_tears_down():
    recorder = Recorder()
    estimator = model().set_callbacks(recorder)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        estimator.fit(X, Y[:-1])
    assert [hook for hook, _ in recorder.notes] == ["setup", "begin", "teardown"]


# --- what it costs ---


@pytest.fixture
def sizes(monkeypatch):
    """Epochs of each call of the backend, where it can train several."""
    found = []
    train_epochs = cpu.session.Session.train_epochs

    def counted(self, optimizer, given, batch_size, rates):
        found.append(len(given))
        return train_epochs(self, optimizer, given, batch_size, rates)

    monkeypatch.setattr(cpu.session.Session, "train_epochs", counted)
    monkeypatch.setattr(minibatch, "_CALL_SECONDS", 100.0)
    return found


@needs_callbacks
def test_epochs_are_trained_at_once_unless_a_hook_takes_the_model(sizes):
    class OnlyAround(callbacks.FitCallback):
        def setup(self, estimator, context):
            assert context.task_name == "fit"

    plain = model(max_iter=20).fit(X, Y)
    assert max(sizes) > 1
    expected = list(sizes)
    for callback in (OnlyAround(), Idle()):
        sizes.clear()
        estimator = model(max_iter=20).set_callbacks(callback)
        assert bits(estimator.fit(X, Y)) == bits(plain)
        assert sizes == expected
    sizes.clear()
    estimator = model(max_iter=20).set_callbacks(Recorder())
    assert bits(estimator.fit(X, Y)) == bits(plain)
    assert sizes == []


class Stopping(Idle):
    """Stops after an epoch, and notes what is to be seen by then."""

    def __init__(self, last):
        self.last, self.lengths = last, []

    def on_fit_task_end(self, estimator, context):
        if context.parent is not None:
            self.lengths.append(len(estimator.history_["loss"]))
        return context.parent is not None and context.task_id == self.last


STOPPED = {
    "dropout and noise": {"dropout": 0.2, "input_noise": 0.1},
    "batch norm": {"normalization": "batch"},
    "limits": {"max_grad_norm": 0.1, "max_norm": 1.0},
    "float32": {"dtype": "float32"},
    "embedding": {"embedding": "piecewise_linear"},
    "no shuffling": {"shuffle": False},
    "drawn": {"sampling": "balanced"},
    "schedules": {
        "learning_rate": "cosine",
        "dropout": 0.2,
        "dropout_schedule": "flat_cosine",
    },
    "momentum": {"solver": "sgd", "weight_decay": 0.01},
    "deep": {"hidden_layer_sizes": (7, 5, 3)},
}


@needs_callbacks
@pytest.mark.parametrize("kind", STOPPED)
def test_epochs_beyond_a_stop_are_undone(kind, sizes):
    """They were trained in the same call; afterwards nothing tells of them."""
    settings = {"max_iter": 20, "batch_size": 50, **STOPPED[kind]}
    stopping = Stopping(last=8)
    estimator = model(**settings).set_callbacks(stopping).fit(X, Y)
    assert max(sizes) > 3
    assert stopping.lengths == [*range(1, 10)]

    class Stepwise(Stopping):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            return super().on_fit_task_end(estimator, context)

    stepwise = model(**settings).set_callbacks(Stepwise(last=8)).fit(X, Y)
    assert estimator.n_iter_ == stepwise.n_iter_ == 9
    both = estimator, stepwise
    assert bits(estimator) == bits(stepwise)
    assert_array_equal(estimator._optimizer.slots, stepwise._optimizer.slots)
    for name in ("t", "epoch", "learning_rate"):
        assert getattr(estimator._optimizer, name) == getattr(stepwise._optimizer, name)
    states = [pickle.dumps(each._random_state.get_state()) for each in both]
    assert states[0] == states[1]
    for each in both:
        each.set_callbacks().resume(X, Y)
    assert bits(estimator) == bits(stepwise)
    assert estimator.n_iter_ == 20


@needs_callbacks
def test_nothing_is_copied_for_hooks_that_do_not_ask(monkeypatch):
    def never(self, has_stopped):
        raise AssertionError("a snapshot")

    monkeypatch.setattr(minibatch._Loop, "_snapshot", never)

    class OnlyBegin(callbacks.FitCallback):
        """Its other hook is the protocol's, which names all arguments."""

        def on_fit_task_begin(self, estimator, context):
            self.last = context

    for others in ([], [Idle()]):
        only_begin = OnlyBegin()
        model().set_callbacks(only_begin, *others).fit(X, Y)
        assert only_begin.last.task_id == EPOCHS - 1
    with pytest.raises(AssertionError, match="a snapshot"):
        model().set_callbacks(Recorder()).fit(X, Y)


# --- scikit-learn's own callbacks and meta-estimators ---


@needs_callbacks
def test_the_scoring_monitor_alone_and_in_a_search_with_processes():
    from sklearn.callback import ScoringMonitor

    monitor = ScoringMonitor(scoring="accuracy")
    estimator = model().set_callbacks(monitor).fit(X, Y, WEIGHTS)
    scores = [row["accuracy"] for row in monitor.get_logs().data]
    shorter = [model(max_iter=n).fit(X, Y, WEIGHTS) for n in range(1, EPOCHS + 1)]
    expected = [each.score(X, Y, WEIGHTS) for each in shorter]
    assert scores == [expected[-1], *expected]
    grid = {"alpha": [0.1, 0.01]}
    monitor = ScoringMonitor(scoring="f1")
    search = GridSearchCV(clone(estimator).set_callbacks(monitor), grid, cv=2, n_jobs=2)
    search.fit(X, Y)
    logs = monitor.get_logs().data
    epochs = [row for row in logs if row["task_name"] == "epoch"]
    # Two candidates on two folds, and the best one on all rows.
    assert len(epochs) == 5 * EPOCHS


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_progress_bar(capsys, n_jobs):
    pytest.importorskip("rich")
    from sklearn.callback import ProgressBar

    model().set_callbacks(ProgressBar()).fit(X, Y)
    assert re.search(r"MLPClassifier - fit .*100%", capsys.readouterr().out)
    pipe = make_pipeline(StandardScaler(), model(solver="lbfgs", max_iter=5))
    # Without a warning that the network does not support callbacks.
    pipe.set_callbacks(ProgressBar()).fit(X, Y)
    assert "MLPClassifier - fit" in capsys.readouterr().out
    grid = {"mlpclassifier__alpha": [0.1, 0.01]}
    search = GridSearchCV(clone(pipe).set_callbacks(), grid, cv=2, n_jobs=n_jobs)
    search.set_callbacks(ProgressBar(max_propagation_depth=None)).fit(X, Y)
    assert capsys.readouterr().out.count("MLPClassifier - fit") == 5
    assert not hasattr(search.best_estimator_[-1], "_skl_callbacks")


# --- the recipes ---


class Trial:
    """Stands for a trial of Optuna."""

    def __init__(self, pruned_at):
        self.reported, self._pruned_at = [], pruned_at

    def suggest_float(self, name, low, high, log):
        return 1e-3

    def report(self, value, step):
        assert step == len(self.reported)
        self.reported.append(value)

    def should_prune(self):
        return len(self.reported) == self._pruned_at


class Pruned(Exception):  # noqa: N818
    pass


def stand_in_for_optuna():
    """What the recipe uses, where Optuna is not installed."""
    trials = []

    def optimize(objective, n_trials):
        for i in range(3):
            trials.append(Trial(pruned_at=5 if i else None))
            try:
                objective(trials[-1])
            except Pruned:
                assert i > 0

    study = types.SimpleNamespace(optimize=optimize, stand_ins=trials)
    optuna = types.ModuleType("optuna")
    optuna.TrialPruned = Pruned
    optuna.pruners = types.SimpleNamespace(MedianPruner=lambda: None)
    optuna.create_study = lambda direction, pruner: study
    return optuna


def blocks(page):
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@needs_callbacks
@pytest.mark.parametrize("has_optuna", [False, True])
def test_the_recipes_of_the_page(tmp_path, monkeypatch, caplog, has_optuna):
    bars, checkpoint, resumption, pruning, logging = blocks("callbacks.md")
    if has_optuna:
        pytest.importorskip("optuna").logging.set_verbosity(30)
    else:
        monkeypatch.setitem(sys.modules, "optuna", stand_in_for_optuna())
    monkeypatch.chdir(tmp_path)
    digits_x, digits_y = load_digits(return_X_y=True)
    names = {"X": digits_x[:300], "y": digits_y[:300], "MLPClassifier": MLPClassifier}
    exec(checkpoint, names)
    assert [path.name for path in tmp_path.iterdir()] == ["model.joblib"]
    saved = joblib.load("model.joblib")
    assert saved.n_iter_ % 10 == 0
    exec(resumption, names)
    expected = MLPClassifier(random_state=0).fit(names["X"], names["y"])
    assert bits(names["model"]) == bits(expected)
    exec(pruning, names)
    if has_optuna:
        trials = names["study"].trials
        reported = [len(trial.intermediate_values) for trial in trials]
        assert names["study"].best_value > 0.2
    else:
        reported = [len(trial.reported) for trial in names["study"].stand_ins]
        assert reported[1:] == [5, 5]
    assert reported[0] == 20
    with caplog.at_level("INFO", logger="training"):
        exec(logging, names)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 20
    assert lines[0].startswith("epoch 0: {'loss': ")
    if not has_optuna:
        return
    pytest.importorskip("rich")
    exec(bars, names)
    assert names["search"].best_score_ > 0.9


# --- tables ---


@needs_callbacks
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_the_networks_of_a_tabular_estimator_are_tasks(n_jobs):
    class Deep(Recorder):
        """Propagated to the networks, as a progress bar is."""

        max_propagation_depth = 1

    recorder, deep = Recorder(), Deep()
    settings = {"n_members": 3, "random_state": 0, "mlp_params": {"max_iter": 4}}
    plain = skmlp.TabularMLPClassifier("fast", n_jobs=n_jobs, **settings).fit(X, Y)
    estimator = clone(plain).set_callbacks(recorder, deep).fit(X, Y)
    assert_array_equal(estimator.predict_proba(X), plain.predict_proba(X))
    assert sorted(recorder.names()[2:-2]) == sorted(
        (hook, "network", i) for i in range(3) for hook in ("begin", "end")
    )
    root = recorder.notes[0][1]
    assert (root.max_subtasks, root.sequential_subtasks) == (3, False)
    # In its place stands the fit of the network, with its epochs.
    assert [name for name in deep.names() if name[1] == "network"] == []
    found = [c for hook, c in deep.notes if hook == "end"]
    for i, member in enumerate(estimator.members_):
        assert not hasattr(member, "_skl_callbacks")
        epochs = [c for c in found if c.task_name == "epoch" and c.parent.task_id == i]
        assert len(epochs) == member.n_iter_
        assert all(c.parent.parent is not None for c in epochs)


@needs_callbacks
def test_a_tabular_fit_that_fails_is_torn_down():
    def fail(estimator, context, given, view):
        raise OSError("on purpose")

    recorder = Recorder(fail)
    settings = {"n_members": 1, "random_state": 0, "mlp_params": {"max_iter": 4}}
    estimator = skmlp.TabularMLPRegressor("fast", **settings).fit(X, X[:, 0])
    expected, names = estimator.predict(X), {*vars(estimator)}
    estimator.set_callbacks(recorder)
    with pytest.raises(OSError, match="on purpose"):
        estimator.fit(X, X[:, 0])
    assert recorder.names()[-1] == ("teardown", "fit", 0)
    assert {*vars(estimator)} == names | {"_skl_callbacks"}
    assert_array_equal(estimator.predict(X), expected)
