"""The parameter `device`: what it names, what it says without a GPU, and 'auto'.

No GPU is needed. Machines are made up, by the answers that a driver would give, and the
CPU's backend stands for that of a GPU: what is tested is how a fit gets there.
"""

import ctypes
import importlib.util
import inspect
import json
import logging
import os
import pickle
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone

import skmlp
from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends import cpu, cuda, get_backend
from skmlp.backends.cuda.runtime import device

# Batches for all solvers, 'lbfgs' included.
pytestmark = pytest.mark.filterwarnings(
    "ignore::skmlp.exceptions.IneffectiveParameterWarning"
)
PACKAGE = Path(skmlp.__file__).parent
X = np.random.default_rng(0).normal(size=(60, 5))
Y = X[:, 0] - X[:, 1]
# As many epochs as end the training without a warning.
SETTINGS = {
    "hidden_layer_sizes": (6,),
    "tol": 1e9,
    "n_iter_no_change": 1,
    "random_state": 0,
}


class NotFoundError(Exception):
    """Of `cuda.pathfinder`, when it finds no library."""


class Machine(NamedTuple):
    """A machine as its driver describes it; the default has a GPU for all purposes."""

    installed: bool = True
    toolkit: int | None = 13
    has_driver: bool = True
    cuda_version: int = 13000
    status: int = 0
    capabilities: tuple = ((9, 0),)
    single_to_double: int = 2
    libraries: tuple = ("nvvm", "nvJitLink", "nvrtc")

    def load(self, name):
        if name not in self.libraries:
            raise NotFoundError(name)

    def attribute(self, attribute, number):
        major, minor = self.capabilities[number]
        return {75: major, 76: minor, 87: self.single_to_double}[attribute]

    def version(self, package):
        assert package == "cuda-toolkit"
        if self.toolkit is None:
            raise metadata.PackageNotFoundError(package)
        return f"{self.toolkit}.0.2"

    def driver(self):
        if not self.has_driver:
            return None
        return SimpleNamespace(
            cuda_version=lambda: self.cuda_version,
            start=lambda: self.status,
            count=lambda: len(self.capabilities),
            attribute=self.attribute,
        )


@pytest.fixture
def use(monkeypatch):
    """``use(machine)``: from now on this process runs on such a machine."""
    monkeypatch.delenv("NUMBA_ENABLE_CUDASIM", raising=False)
    find = importlib.util.find_spec

    def use(machine):
        def found(name, package=None):
            if name == "numba_cuda":
                return object() if machine.installed else None
            return find(name, package)

        monkeypatch.setattr(importlib.util, "find_spec", found)
        monkeypatch.setattr(metadata, "version", machine.version)
        monkeypatch.setattr(device, "open_driver", machine.driver)
        pathfinder = ModuleType("cuda.pathfinder")
        pathfinder.load_nvidia_dynamic_lib = machine.load
        pathfinder.DynamicLibNotFoundError = NotFoundError
        monkeypatch.setitem(sys.modules, "cuda", ModuleType("cuda"))
        monkeypatch.setitem(sys.modules, "cuda.pathfinder", pathfinder)
        monkeypatch.setattr(device, "_driver_pid", None)
        device._obstacle.cache_clear()

    yield use
    device._obstacle.cache_clear()


@pytest.fixture
def fits(use, monkeypatch):
    """A machine with two GPUs, for which the CPU stands; what is trained on them."""
    use(Machine(capabilities=((8, 6), (9, 0))))
    seen = []

    def on_device(number):
        device.require(number)

        def open_session(problem, parameters, n_jobs):
            seen.append((number, problem.matmul_precision, parameters.dtype.name))
            return cpu.open_session(problem, parameters, n_jobs)

        return SimpleNamespace(
            open_session=open_session,
            outputs=cpu.outputs,
            predictor=cpu.predictor,
            evaluate=cpu.evaluate,
        )

    monkeypatch.setattr(cuda, "on_device", on_device)
    return seen


NO_GPU = [
    (
        "package",
        Machine(installed=False),
        ImportError,
        r'numba-cuda.*pip install "skmlp\[cu13\]" .*580.* pip install "skmlp\[cu12\]"',
    ),
    (
        "driver",
        Machine(has_driver=False),
        RuntimeError,
        r'No NVIDIA driver.*pip install "skmlp\[cu13\]" .*580.*skmlp\[cu12\]" .*525',
    ),
    (
        "old driver for CUDA 13",
        Machine(cuda_version=12080),
        RuntimeError,
        r"CUDA 13 needs NVIDIA driver 580 .*serves CUDA 12\.8.*skmlp\[cu12\]",
    ),
    (
        "old driver for CUDA 12",
        Machine(toolkit=12, cuda_version=11040),
        RuntimeError,
        r"CUDA 12 needs NVIDIA driver 525 .*serves CUDA 11\.4",
    ),
    (
        "old driver, unknown toolkit",
        Machine(toolkit=None, cuda_version=11040),
        RuntimeError,
        "CUDA 12 needs NVIDIA driver 525",
    ),
    (
        "old device for CUDA 13",
        Machine(capabilities=((7, 0),)),
        RuntimeError,
        r'capability 7\.0, but 7\.5 is needed\. pip install "skmlp\[cu12\]"',
    ),
    (
        "old device",
        Machine(toolkit=12, capabilities=((6, 1),)),
        RuntimeError,
        r"capability 6\.1, but 7\.0 is needed\. Use device='cpu'",
    ),
    (
        "compiler",
        Machine(libraries=("nvJitLink", "nvrtc")),
        ImportError,
        r'library nvvm, .*pip install "skmlp\[cu13\]"',
    ),
    ("linker", Machine(libraries=("nvvm", "nvrtc")), ImportError, "library nvJitLink"),
    (
        "compiler of CUDA C++",
        Machine(libraries=("nvvm", "nvJitLink")),
        ImportError,
        "library nvrtc",
    ),
    ("no device", Machine(status=100), RuntimeError, "CUDA finds none.*device='cpu'"),
    ("none listed", Machine(capabilities=()), RuntimeError, "CUDA finds none"),
    ("fork", Machine(status=3), RuntimeError, "forked.*'loky'.*'spawn'"),
    ("other error", Machine(status=999), RuntimeError, "error 999.*nvidia-smi"),
]


@pytest.mark.parametrize(
    ("machine", "kind", "message"),
    [pytest.param(*row[1:], id=row[0]) for row in NO_GPU],
)
def test_a_fit_without_a_gpu_says_what_is_missing(use, machine, kind, message):
    use(machine)
    assert not device.usable(0)
    estimator = MLPRegressor(device="cuda", **SETTINGS)
    before = dict(vars(estimator))
    with pytest.raises(kind, match=message):
        estimator.fit(X, Y)
    assert vars(estimator) == before


@pytest.mark.parametrize(
    "machine",
    [
        Machine(),
        Machine(toolkit=12, cuda_version=12000, capabilities=((7, 0),)),
        Machine(toolkit=12),
        Machine(toolkit=None),
        Machine(capabilities=((7, 5),)),
    ],
)
def test_usable_machines(use, machine):
    use(machine)
    assert device.usable(0)
    assert device._driver_pid == os.getpid()
    with pytest.raises(RuntimeError, match="no GPU of number 1: CUDA finds 1"):
        device.require(1)


def test_devices_are_named_where_there_are_others(use):
    use(Machine(capabilities=((8, 0), (9, 0))))
    device.require(1)
    with pytest.raises(RuntimeError, match=r"number 2.*'cuda:0', 'cuda:1'"):
        device.require(2)


def test_the_simulator_is_one_device(use, monkeypatch):
    use(Machine(installed=False, has_driver=False))
    monkeypatch.setenv("NUMBA_ENABLE_CUDASIM", "1")
    device.require(0)
    assert not device.usable(1)
    assert device.worth_it(1e9, np.float64, 0)[0]


class Library:
    """What ctypes would call."""

    def __init__(self, status):
        self._status = status

    def _answer(self, place, value):
        place._obj.value = value
        return self._status

    def cuInit(self, flags):
        assert flags == 0
        return self._status

    def cuDriverGetVersion(self, place):
        return self._answer(place, 13010)

    def cuDeviceGetCount(self, place):
        return self._answer(place, 4)

    def cuDeviceGetAttribute(self, place, attribute, number):
        return self._answer(place, 10 * attribute + number)


def test_questions_to_the_driver(monkeypatch):
    opened = []

    def load(name):
        opened.append(name)
        return Library(0)

    monkeypatch.setattr(ctypes, "CDLL", load)
    driver = device.open_driver()
    assert len(opened) == 1
    assert driver.start() == 0
    assert driver.cuda_version() == 13010
    assert driver.count() == 4
    assert driver.attribute(75, 2) == 752
    failing = device.Driver(Library(1))
    assert failing.start() == 1
    answers = failing.cuda_version(), failing.count(), failing.attribute(75, 2)
    assert answers == (0, 0, 0)

    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert device.open_driver() is None


# Where a fit gets to


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize(
    ("name", "number"), [("cuda", 0), ("cuda:0", 0), ("cuda:1", 1)]
)
def test_the_gpu_that_is_named_is_trained_on(fits, solver, name, number):
    estimator = MLPRegressor(solver=solver, device=name, **SETTINGS).fit(X, Y)
    assert fits == [(number, "highest", "float32")]
    assert estimator.device_ == name
    same = MLPRegressor(solver=solver, dtype="float32", **SETTINGS).fit(X, Y)
    assert len(fits) == 1
    assert same.device_ == "cpu"
    for ours, theirs in zip(estimator.coefs_, same.coefs_, strict=True):
        assert type(ours) is np.ndarray
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int64])
@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, ("highest", "float32")),
        ({"dtype": "float32"}, ("highest", "float32")),
        ({"dtype": np.float64}, ("highest", "float64")),
        ({"matmul_precision": "tf32"}, ("tf32", "float32")),
        ({"matmul_precision": "tf32", "dtype": "float32"}, ("tf32", "float32")),
    ],
)
def test_precision_on_a_gpu(fits, kind, settings, expected):
    x = (10 * X).astype(kind)
    estimator = MLPRegressor(device="cuda", **settings, **SETTINGS).fit(x, Y)
    assert fits == [(0, *expected)]
    assert estimator.coefs_[0].dtype == expected[1]
    assert estimator.predict(x).dtype == expected[1]


def test_a_training_that_goes_on_keeps_its_precision(fits):
    estimator = MLPRegressor(**SETTINGS).partial_fit(X, Y)
    estimator.set_params(device="cuda:1").partial_fit(X, Y)
    estimator.set_params(matmul_precision="tf32").partial_fit(X, Y)
    assert fits == [(1, "highest", "float64"), (1, "tf32", "float32")]


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_tf32_is_refused_on_a_cpu(method):
    estimator = MLPRegressor(matmul_precision="tf32", **SETTINGS)
    message = r"matmul_precision='tf32' needs a GPU.*device='cpu'"
    with pytest.raises(ValueError, match=message):
        getattr(estimator, method)(X, Y)


@pytest.mark.parametrize(
    ("dtype", "name"),
    [(np.float32, "float32"), (np.dtype("float64"), "float64"), (float, "float64")],
)
def test_dtypes_of_numpy_are_precisions(dtype, name):
    estimator = clone(MLPRegressor(dtype=dtype, **SETTINGS))
    assert estimator.get_params()["dtype"] == dtype
    by_name = MLPRegressor(dtype=name, **SETTINGS).fit(X, Y)
    for ours, theirs in zip(estimator.fit(X, Y).coefs_, by_name.coefs_, strict=True):
        assert ours.dtype == name
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", ["float64", float, np.dtype("float64")])
def test_tf32_is_refused_in_double_precision(dtype):
    estimator = MLPRegressor(device="cuda", dtype=dtype, matmul_precision="tf32")
    with pytest.raises(ValueError, match=r"'tf32' needs dtype='float32' .*float"):
        estimator.fit(X, Y)


def test_early_stopping_and_scorers_predict_on_the_gpu(fits):
    estimator = MLPClassifier(
        device="auto", early_stopping=True, scoring="roc_auc", **SETTINGS
    )
    estimator.fit(X, Y > 0)
    assert len(estimator.validation_scores_) >= 2


# Models without their GPU


@pytest.mark.parametrize("name", ["cuda", "cuda:1"])
def test_a_model_predicts_on_a_machine_without_a_gpu(fits, use, name, caplog):
    estimator = MLPClassifier(device=name, **SETTINGS).fit(X, Y > 0)
    kept = pickle.dumps(estimator)
    expected = estimator.predict_proba(X)
    use(Machine(installed=False))
    caplog.set_level(logging.INFO, logger="skmlp")
    loaded = pickle.loads(kept)
    np.testing.assert_array_equal(loaded.predict_proba(X), expected)
    (line,) = caplog.messages
    assert line.startswith(f"Predicting on the CPU, not '{name}': ")
    assert "numba-cuda" in line
    assert loaded.hidden_activations(X).shape == (60, 6)
    with pytest.raises(ImportError, match="skmlp"):
        loaded.fit(X, Y > 0)


# 'auto'


def chosen(caplog, x=X, **settings):
    """The device that 'auto' finds, and the line that it logs."""
    caplog.set_level(logging.INFO, logger="skmlp")
    caplog.clear()
    estimator = MLPRegressor(device="auto", **{**SETTINGS, **settings}).fit(x, Y)
    estimator.predict(x)
    # What was compiled is logged, too.
    (line,) = (each for each in caplog.messages if each.startswith("device="))
    assert line.startswith(f"device='auto': training on device='{estimator.device_}' (")
    return estimator.device_, line


WIDE = {"hidden_layer_sizes": (2000,), "dtype": "float32"}


def test_auto_uses_the_gpu_for_much_work(fits, caplog):
    name, line = chosen(caplog, **WIDE)
    assert name == "cuda"
    assert "4.3e+06 operations a step, at least 2.0e+06" in line
    assert fits == [(0, "highest", "float32")]


def test_auto_uses_the_cpu_for_little_work(fits, caplog):
    name, line = chosen(caplog)
    assert name == "cpu"
    assert "less than 2.0e+06" in line
    assert chosen(caplog, batch_size=20, **WIDE)[0] == "cpu"
    assert fits == []


def test_auto_counts_all_rows_for_lbfgs(fits, caplog):
    settings = {**WIDE, "batch_size": 20, "solver": "lbfgs"}
    assert chosen(caplog, **settings)[0] == "cuda"


def test_auto_counts_what_is_stored_of_sparse_data(fits, caplog):
    x = sparse.csr_array(X * (np.abs(X) > 1))
    assert chosen(caplog, x, **WIDE)[0] == "cpu"


def test_auto_without_a_gpu(use, caplog):
    use(Machine(has_driver=False))
    name, line = chosen(caplog, **WIDE, matmul_precision="tf32")
    assert name == "cpu"
    assert "No NVIDIA driver" in line


def test_auto_keeps_the_precision_of_the_cpu(fits, caplog):
    assert chosen(caplog, **{**WIDE, "dtype": None})[0] == "cuda"
    assert fits == [(0, "highest", "float64")]


def test_auto_leaves_double_precision_to_the_cpu_where_a_gpu_is_slow(fits, use, caplog):
    use(Machine(single_to_double=64))
    name, line = chosen(caplog, **{**WIDE, "dtype": None})
    assert name == "cpu"
    assert "float64 is slow on GPU 0" in line
    assert chosen(caplog, **WIDE)[0] == "cuda"


def test_auto_predicts_where_it_has_trained(fits, use, caplog):
    estimator = MLPRegressor(device="auto", **{**SETTINGS, **WIDE}).fit(X, Y)
    assert estimator.device_ == "cuda"
    use(Machine(has_driver=False))
    caplog.set_level(logging.INFO, logger="skmlp")
    estimator.predict(X)
    assert "Predicting on the CPU, not 'cuda'" in caplog.text


def test_nothing_is_logged_unless_asked(fits, capfd):
    MLPRegressor(device="auto", **SETTINGS).fit(X, Y).predict(X)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""


# Processes


def run_apart(function, *helpers, **environment):
    """What a function of this module returns in a fresh interpreter."""
    parts = [inspect.getsource(part) for part in (*helpers, function)]
    source = "\n".join(
        [*parts, "import json", f"print(json.dumps({function.__name__}()))"]
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", source],
        cwd=PACKAGE.parent,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


def loaded_by_a_fit():
    """What of CUDA is imported with the package, and with a fit on the CPU."""
    import sys

    import numpy as np

    import skmlp

    def of_cuda():
        roots = ("numba.cuda", "numba_cuda", "cuda", "skmlp.backends.cuda.backend")
        return [n for n in sys.modules if n in roots or n.startswith("cuda.")]

    before = of_cuda()
    x = np.arange(12.0).reshape(6, 2)
    model = skmlp.MLPRegressor(hidden_layer_sizes=(2,), max_iter=1).fit(x, x[:, 0])
    model.predict(x)
    from skmlp.backends.cuda.runtime import device

    return [before, of_cuda(), "numba" in sys.modules, device._driver_pid]


def test_a_cpu_fit_imports_nothing_of_cuda():
    assert run_apart(loaded_by_a_fit) == [[], [], True, None]


def pretend_a_gpu():
    """Let the CPU stand for a GPU whose driver minds forks, in this process."""
    import importlib.util
    from types import SimpleNamespace

    from skmlp.backends import cpu, cuda
    from skmlp.backends.cuda.runtime import device

    importlib.util.find_spec = lambda name: object()
    device._toolkit = lambda: 13
    device._without_compiler = lambda: None
    device.open_driver = lambda: SimpleNamespace(
        cuda_version=lambda: 13000,
        start=lambda: 0,
        count=lambda: 1,
        attribute=lambda attribute, number: 9,
    )

    def on_device(number):
        device.require(number)
        return cpu

    cuda.on_device = on_device


def fit_on_a_gpu():
    """The weights of a fit, or the error in its place."""
    import numpy as np

    from skmlp import MLPRegressor

    pretend_a_gpu()
    x = np.arange(12.0).reshape(6, 2)
    model = MLPRegressor(max_iter=1, random_state=0, device="cuda")
    try:
        return model.fit(x, x[:, 0]).coefs_[0].tolist()
    except RuntimeError as error:
        return str(error)


def in_loky():
    import joblib

    run = joblib.Parallel(n_jobs=2, backend="loky")
    return [fit_on_a_gpu(), *run(joblib.delayed(fit_on_a_gpu)() for _ in range(2))]


def in_a_fork():
    import json
    import os

    before = fit_on_a_gpu()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, json.dumps(fit_on_a_gpu()).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        found = json.load(pipe)
    assert os.waitpid(child, 0)[1] == 0
    return [before, found, fit_on_a_gpu()]


@pytest.mark.slow
def test_workers_of_loky_use_the_gpu():
    found = run_apart(*(in_loky, pretend_a_gpu, fit_on_a_gpu), NUMBA_ENABLE_CUDASIM="0")
    assert isinstance(found[0], list)
    assert found[0] == found[1] == found[2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_says_what_to_do():
    before, child, after = run_apart(
        *(in_a_fork, pretend_a_gpu, fit_on_a_gpu), NUMBA_ENABLE_CUDASIM="0"
    )
    assert "forked from one that had already used CUDA" in child
    assert "'loky'" in child
    assert isinstance(before, list)
    assert before == after


def test_backends_by_name(fits):
    assert get_backend("cpu") is cpu
    assert get_backend("cuda:1").evaluate is cpu.evaluate
    with pytest.raises(KeyError):
        get_backend("tpu")
