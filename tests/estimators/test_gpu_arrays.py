"""X, y and weights that are on a GPU: used there, with results of the same library.

A module in the place of CuPy keeps its "device memory" where NumPy would, and the CPU's
backend stands for the GPU's; what it gets is read through ``__cuda_array_interface__``
alone. So the way of the data is tested, and no GPU is needed. What PyTorch's tensors
need is tested on tensors of the CPU, where PyTorch is installed.
"""

import contextlib
import functools
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from skmlp import MLPAutoencoder, MLPClassifier, MLPRegressor
from skmlp.backends import cpu, cuda
from skmlp.backends.cuda.runtime import device as gpu
from skmlp.estimators import dlpack
from skmlp.estimators.gpu_arrays import GpuArray, is_on_gpu

X = np.random.default_rng(0).normal(size=(80, 5)).astype(np.float32)
Y = (X[:, 0] > X[:, 1]).astype(np.int64) + (X[:, 2] > 1)
WEIGHTS = np.linspace(0.5, 2, 80)
# As many epochs as end the training without a warning.
SETTINGS = {
    "hidden_layer_sizes": (6,),
    "tol": 1e9,
    "n_iter_no_change": 1,
    "random_state": 0,
}


class _Device(SimpleNamespace):
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


class DeviceArray:
    """What of `cupy.ndarray` is used; NumPy may not take it for an array."""

    def __init__(self, values, number=0):
        self._values = values
        self.shape, self.dtype = values.shape, values.dtype
        self.device = _Device(id=number)

    def __array__(self, *_, **__):
        raise TypeError("Implicit conversion to a NumPy array is not allowed.")

    def __len__(self):
        return len(self._values)

    def __getitem__(self, rows):
        return DeviceArray(self._values[rows._values])

    @property
    def __cuda_array_interface__(self):
        return self._values.__array_interface__

    def all(self):
        return self._values.all()

    def get(self):
        return self._values.copy()


DeviceArray.__module__ = "cupy"


@pytest.fixture
def cupy(monkeypatch):
    """CuPy's functions, which count the bytes that they copy."""
    module = ModuleType("cupy")
    module.copied = 0

    def ascontiguousarray(x, dtype):
        same = np.ascontiguousarray(x._values, dtype)
        if same is not x._values:
            module.copied += same.nbytes
        return DeviceArray(same, x.device.id)

    module.ascontiguousarray = ascontiguousarray

    def asarray(x):
        is_values = type(x) is np.ndarray
        return DeviceArray(x if is_values else np.asarray(_Interface(x)))

    module.isfinite = lambda x: DeviceArray(np.isfinite(x._values))
    module.asarray = asarray
    module.from_dlpack = lambda x: DeviceArray(x.__dlpack__())
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


class _Interface:
    """NumPy reads of this what a device would read of an GpuArray."""

    def __init__(self, x):
        self.__array_interface__ = x.__cuda_array_interface__


@pytest.fixture
def seen(monkeypatch):
    """What the backend of a GPU gets for X, the CPU standing for it."""
    seen = []

    def there(x):
        seen.append(x)
        return np.asarray(_Interface(x)) if isinstance(x, GpuArray) else x

    class Session:
        def __init__(self, session):
            self._session = session

        def __getattr__(self, name):
            return getattr(self._session, name)

        def outputs(self, x, rows):
            return self._session.outputs(there(x), rows)

    @contextlib.contextmanager
    def open_session(problem, parameters, n_jobs):
        problem = problem._replace(x=there(problem.x))
        with cpu.open_session(problem, parameters, n_jobs) as session:
            yield Session(session)

    def outputs(network, parameters, x, activation, n_jobs):
        return cpu.outputs(network, parameters, there(x), activation, n_jobs)

    backend = SimpleNamespace(
        open_session=open_session,
        outputs=outputs,
        predictor=lambda *given: functools.partial(outputs, *given),
        evaluate=cpu.evaluate,
        row_losses=cpu.row_losses,
    )
    monkeypatch.setattr(cuda, "on_device", lambda number: backend)
    monkeypatch.setattr(gpu, "obstacle", lambda number: None)
    return seen


def arrays_of(estimator):
    return [*estimator.coefs_, *estimator.intercepts_]


def assert_same_model(found, expected):
    for ours, theirs in zip(arrays_of(found), arrays_of(expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("device", ["cuda", "auto"])
def test_all_of_a_fit_is_used_where_it_lies(cupy, seen, kind, device):
    expected = kind(**SETTINGS).fit(X, Y, WEIGHTS)
    model = kind(device=device, **SETTINGS)
    model.fit(*map(DeviceArray, (X, Y, WEIGHTS)))
    assert_same_model(model, expected)
    assert model.device_ in ("cuda", "cuda:0")
    assert model.n_features_in_ == 5
    assert isinstance(seen[0], GpuArray)
    assert seen[0].__cuda_array_interface__["data"] == X.__array_interface__["data"]
    assert cupy.copied == 0


@pytest.mark.parametrize(
    "x",
    [X.astype(np.float64), np.asfortranarray(X), np.round(X).astype(np.int32), X[::2]],
    ids=["float64", "Fortran", "integers", "strided"],
)
def test_other_arrays_are_converted_on_the_device(cupy, seen, x):
    y = Y[: len(x)]
    expected = MLPClassifier(dtype="float32", **SETTINGS).fit(x, y)
    model = MLPClassifier(device="cuda", **SETTINGS).fit(DeviceArray(x), y)
    assert_same_model(model, expected)
    assert cupy.copied == 4 * x.size
    found = model.predict_proba(DeviceArray(x))
    np.testing.assert_array_equal(found.get(), expected.predict_proba(x))


@pytest.mark.parametrize(
    "method",
    [
        "predict",
        "predict_proba",
        "predict_log_proba",
        "decision_function",
        "hidden_activations",
    ],
)
def test_results_are_like_the_input(cupy, seen, method):
    model = MLPClassifier(device="cuda", **SETTINGS).fit(X, Y)
    expected = getattr(model, method)(X)
    seen.clear()
    found = getattr(model, method)(DeviceArray(X))
    assert type(found) is DeviceArray
    assert all(isinstance(x, GpuArray) for x in seen)
    np.testing.assert_array_equal(found.get(), expected)


@pytest.mark.filterwarnings("ignore::skmlp.exceptions.PoorFitWarning")
def test_lists_of_results_are_like_the_input(cupy, seen):
    y = np.column_stack([Y, Y + 1])
    model = MLPClassifier(device="cuda", **SETTINGS).fit(X, y)
    for method in ("predict_proba", "predict_log_proba", "decision_function"):
        found = getattr(model, method)(DeviceArray(X))
        for ours, theirs in zip(found, getattr(model, method)(X), strict=True):
            assert type(ours) is DeviceArray
            np.testing.assert_array_equal(ours.get(), theirs)
    assert model.score(DeviceArray(X), y) == model.score(X, y)


def test_features_are_embedded(cupy, seen):
    settings = {**SETTINGS, "embedding": "piecewise_linear"}
    expected = MLPClassifier(**settings).fit(X, Y)
    model = MLPClassifier(device="cuda", **settings).fit(DeviceArray(X), Y)
    assert_same_model(model, expected)
    for ours, theirs in zip(
        model.embedding_weights_, expected.embedding_weights_, strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    found = model.predict_proba(DeviceArray(X))
    np.testing.assert_array_equal(found.get(), expected.predict_proba(X))
    assert isinstance(seen[0], GpuArray)


def test_names_are_left_on_the_host(cupy, seen):
    names = np.array(["a", "b", "c"])[Y]
    model = MLPClassifier(device="cuda", **SETTINGS).fit(DeviceArray(X), names)
    assert set(model.predict(DeviceArray(X))) <= {"a", "b", "c"}


def test_standard_deviations_are_like_the_input(cupy, seen):
    model = MLPRegressor("gaussian_nll", device="cuda", **SETTINGS).fit(X, Y)
    mean, deviation = model.predict(DeviceArray(X), return_std=True)
    assert type(mean) is type(deviation) is DeviceArray


def test_a_scaled_target(cupy, seen):
    settings = {**SETTINGS, "loss": "gaussian_nll", "scale_target": True}
    y = 1e6 + 1e5 * Y
    val = {"X_val": X, "y_val": y}
    expected = MLPRegressor(dtype="float32", **settings).fit(X, y, WEIGHTS, **val)
    model = MLPRegressor(device="cuda", **settings)
    there = {name: DeviceArray(values) for name, values in val.items()}
    model.fit(*map(DeviceArray, (X, y, WEIGHTS)), **there)
    assert_same_model(model, expected)
    assert model.validation_scores_ == expected.validation_scores_
    for found, values in zip(
        model.predict(DeviceArray(X), return_std=True),
        expected.predict(X, return_std=True),
        strict=True,
    ):
        assert type(found) is DeviceArray
        np.testing.assert_array_equal(found.get(), values)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_scores(cupy, seen, kind):
    model = kind(device="cuda", **SETTINGS).fit(X, Y)
    expected = model.score(X, Y, WEIGHTS)
    seen.clear()
    assert model.score(*map(DeviceArray, (X, Y, WEIGHTS))) == expected
    assert isinstance(seen[0], GpuArray)


@pytest.mark.parametrize("scoring", [None, "accuracy"])
@pytest.mark.parametrize("own", [True, False])
def test_validation_data_on_the_device(cupy, seen, scoring, own):
    settings = {**SETTINGS, "early_stopping": True, "scoring": scoring}
    given = {"X_val": X, "y_val": Y, "sample_weight_val": WEIGHTS} if own else {}
    expected = MLPClassifier(**settings).fit(X, Y, **given)
    there = {name: DeviceArray(values) for name, values in given.items()}
    model = MLPClassifier(device="cuda", **settings).fit(DeviceArray(X), Y, **there)
    assert model.validation_scores_ == expected.validation_scores_
    assert_same_model(model, expected)


def test_partial_fit(cupy, seen):
    expected = MLPClassifier(**SETTINGS).partial_fit(X, Y, classes=[0, 1, 2])
    model = MLPClassifier(device="cuda", **SETTINGS)
    model.partial_fit(DeviceArray(X), DeviceArray(Y), classes=[0, 1, 2])
    assert_same_model(model, expected)


def bad(where, value):
    x = X.copy()
    x[where] = value
    return x


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (bad((3, 2), np.nan), "NaN or infinity"),
        (bad((3, 2), np.inf), "NaN or infinity"),
        (X[:, 0], "Expected 2D array"),
        (X[:0], "at least one sample"),
        (X.astype(complex), "real numbers"),
        (X[:, :4], "X has 4 features, but MLPClassifier is expecting 5"),
        (X[:-1], "inconsistent numbers of samples"),
    ],
    ids=["nan", "inf", "1-D", "no rows", "complex", "features", "rows"],
)
def test_what_cannot_be_used_is_refused(cupy, seen, x, message):
    model = MLPClassifier(device="cuda", warm_start=True, **SETTINGS).fit(X, Y)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=message):
        model.fit(DeviceArray(x), Y)
    assert vars(model) == before


def test_a_model_on_the_cpu_refuses_arrays_on_a_gpu(cupy):
    model = MLPClassifier(**SETTINGS)
    there = DeviceArray(X)
    message = r"X is an array on a GPU \(cupy.DeviceArray\).*device='cuda'.*x.get\(\)"
    with pytest.raises(TypeError, match=message):
        model.fit(there, Y)
    with pytest.raises(TypeError, match="y is an array on a GPU"):
        model.fit(X, DeviceArray(Y))
    with pytest.raises(TypeError, match="sample_weight is an array on a GPU"):
        model.fit(X, Y, DeviceArray(WEIGHTS))
    with pytest.raises(TypeError, match="X_val is an array on a GPU"):
        model.fit(X, Y, X_val=there, y_val=Y)
    model.fit(X, Y)
    for method in (model.predict, model.predict_proba, model.hidden_activations):
        with pytest.raises(TypeError, match=message):
            method(there)


def test_the_other_gpu_is_named(cupy, seen):
    there = DeviceArray(X, 1)
    with pytest.raises(ValueError, match=r"X is on GPU 1, .*device='cuda:1'"):
        MLPClassifier(device="cuda", **SETTINGS).fit(there, Y)
    assert MLPClassifier(device="auto", **SETTINGS).fit(there, Y).device_ == "cuda:1"


class OfInterface:
    """An array that is there and no more, as one of RMM."""

    def __init__(self, values):
        self.values = values
        self.__cuda_array_interface__ = values.__array_interface__


class OfDLPack:
    """An array of the array API standard, as one of JAX."""

    def __init__(self, values):
        self.values = values

    def __dlpack_device__(self):
        return 2, 0

    def __dlpack__(self):
        return self.values

    def __array_namespace__(self):
        return SimpleNamespace(from_dlpack=lambda x: OfDLPack(x._values))


class OfNumba(OfInterface):
    """One of Numba's device arrays."""


OfNumba.__module__ = "numba.cuda.cudadrv.devicearray"
OTHERS = {OfInterface: DeviceArray, OfDLPack: OfDLPack, OfNumba: OfNumba}


@pytest.fixture
def numba_cuda(monkeypatch):
    module = ModuleType("numba.cuda")
    module.as_cuda_array = lambda x: OfNumba(x._values)
    monkeypatch.setitem(sys.modules, "numba.cuda", module)


@pytest.mark.parametrize("kind", OTHERS)
def test_arrays_of_other_libraries_are_wrapped(cupy, seen, numba_cuda, kind):
    expected = MLPClassifier(**SETTINGS).fit(X, Y, WEIGHTS)
    model = MLPClassifier(device="cuda", **SETTINGS)
    model.fit(kind(X), kind(Y), kind(WEIGHTS))
    assert_same_model(model, expected)
    assert seen[0].__cuda_array_interface__["data"] == X.__array_interface__["data"]
    found = model.predict_proba(kind(X))
    assert type(found) is OTHERS[kind]
    values = found.get() if kind is OfInterface else found.values
    np.testing.assert_array_equal(values, expected.predict_proba(X))
    assert model.score(kind(X), kind(Y)) == expected.score(X, Y)
    assert cupy.copied == 0


@pytest.mark.parametrize("kind", OTHERS)
def test_the_error_names_the_libraries_that_could_wrap(monkeypatch, kind):
    monkeypatch.setattr(dlpack, "_consumer", lambda: None)
    model = MLPClassifier(device="cuda", **SETTINGS)
    with pytest.raises(TypeError, match=r"X is an array.*needs CuPy or PyTorch"):
        model.fit(kind(X), Y)


@pytest.mark.parametrize("imported", [("cupy",), ("torch",), ("cupy", "torch"), ()])
@pytest.mark.parametrize("installed", [("cupy",), ("torch",), ("cupy", "torch"), ()])
@pytest.mark.parametrize("for_gpus", [True, False])
def test_the_imported_library_wraps_first(monkeypatch, imported, installed, for_gpus):
    modules = {name: ModuleType(name) for name in ("cupy", "torch")}
    modules["torch"].cuda = SimpleNamespace(is_available=lambda: for_gpus)
    there = {name: modules[name] for name in imported}
    monkeypatch.setattr(dlpack, "sys", SimpleNamespace(modules=there))
    library = SimpleNamespace(
        import_module=modules.get,
        util=SimpleNamespace(find_spec=lambda name: name in installed),
    )
    monkeypatch.setattr(dlpack, "importlib", library)
    order = [name for name in (*imported, *installed) if for_gpus or name == "cupy"]
    assert dlpack._consumer() == (*order, None)[0]


class ManagedArray(np.ndarray):
    """As Numba's: one of NumPy on a GPU, whose DLPack says that it is on the host."""

    @property
    def __cuda_array_interface__(self):
        return self.__array_interface__


def test_arrays_unknown_to_dlpack_are_wrapped_by_the_interface(cupy):
    there = X.view(ManagedArray)
    assert is_on_gpu(there)
    cupy.from_dlpack = None
    found = GpuArray(there, "cuda")
    assert found.__cuda_array_interface__["data"] == X.__array_interface__["data"]


@pytest.mark.parametrize("x", [X, X.tolist(), None, "text", np.float32(1)])
def test_what_is_not_on_a_gpu(x):
    assert not is_on_gpu(x)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_tensors(dtype):
    torch = pytest.importorskip("torch")
    values = (10 * X).astype(dtype)
    tensor = torch.from_numpy(values)
    assert not is_on_gpu(tensor)
    x = GpuArray(tensor, "auto")
    assert x.shape == (80, 5)
    assert x.dtype == dtype
    rows = np.array([3, 1, 70])
    np.testing.assert_array_equal(x[rows], values[rows])
    same = GpuArray(tensor.T, "auto").checked([np.dtype("float32")])
    assert same.dtype == np.float32
    assert same._x.is_contiguous()
    np.testing.assert_array_equal(same[rows[:2]], values.T[rows[:2]].astype("f4"))
    assert x.checked([x.dtype])._x.data_ptr() == tensor.data_ptr()


def test_tensors_that_are_not_finite():
    torch = pytest.importorskip("torch")
    tensor = torch.full((2, 2), 1e300, dtype=torch.float64, requires_grad=True)
    with pytest.raises(ValueError, match="NaN or infinity"):
        GpuArray(tensor, "auto").checked([np.dtype("float32")])


def test_tensors_of_a_dtype_that_numpy_does_not_have():
    torch = pytest.importorskip("torch")
    tensor = torch.ones((2, 2), dtype=torch.bfloat16)
    with pytest.raises(TypeError, match=r"X is of dtype bfloat16.*x\.float\(\)"):
        GpuArray(tensor, "auto")


def test_an_autoencoder_of_an_array_on_a_gpu(cupy, seen):
    settings = {**SETTINGS, "hidden_layer_sizes": (6, 2, 6), "activation": "tanh"}
    expected = MLPAutoencoder(**settings).fit(X, sample_weight=WEIGHTS, X_val=X)
    model = MLPAutoencoder(device="cuda", **settings)
    there = DeviceArray(X)
    model.fit(there, sample_weight=DeviceArray(WEIGHTS), X_val=there)
    assert_same_model(model, expected)
    for method in ("transform", "reconstruct", "score_samples"):
        found = getattr(model, method)(there)
        assert isinstance(found, DeviceArray)
        np.testing.assert_array_equal(found.get(), getattr(expected, method)(X))
    code = expected.transform(X)
    found = model.inverse_transform(DeviceArray(code)).get()
    np.testing.assert_array_equal(found, expected.inverse_transform(code))
    assert model.score(there) == expected.score(X)
