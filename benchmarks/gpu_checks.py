"""Whether a GPU computes what the CPU computes, asked before anything is timed.

A kernel can be fast and wrong. Each check yields a line with what was found and what is
allowed: curves of the loss beside the CPU's, the gradient beside finite differences and
beside the reference, predictions, and the same bits for every number of blocks.
"""

import warnings
from typing import NamedTuple
from unittest import mock

import joblib
import numpy as np
from joblib.externals.loky import get_reusable_executor
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning

from skmlp import MLPClassifier, MLPRegressor
from skmlp.backends import Problem, get_backend
from skmlp.network import Network, init_params
from skmlp.rules.initializers import INITIALIZERS
from skmlp.rules.losses import classification_loss

# Largest relative difference of losses, which grows with the steps, and of gradients.
CURVES = {"float32": 1e-2, "float64": 1e-7, "tf32": 5e-2}
_GRADIENT = {"float32": 1e-4, "float64": 1e-10}
_OUTPUTS = {"float32": 1e-4, "float64": 1e-11}
_DIFFERENCES = 1e-6
_BLOCKS = (1, 2, 3)
# That a check may take, its kernels' compilation included.
_MOST_SECONDS = 200


class Case(NamedTuple):
    """What is trained in a check of curves."""

    name: str
    classes: int
    settings: dict
    is_sparse: bool = False
    is_weighted: bool = False


_CASES = (
    Case("relu, adam", 10, {}),
    Case("binary, two layers, sgd", 2, {"solver": "sgd", "activation": "tanh"}),
    Case("regression, dropout", 0, {"dropout": 0.3, "learning_rate": "cosine"}),
    Case("sparse X", 3, {"activation": "gelu"}, is_sparse=True),
    Case("weights, max_norm", 3, {"max_norm": 1.0}, is_weighted=True),
    Case("batch normalization", 3, {"normalization": "batch"}),
    # Few iterations: each amplifies what rounding has done to the last.
    Case("l-bfgs", 3, {"solver": "lbfgs", "activation": "tanh", "max_iter": 5}),
)


class Size(NamedTuple):
    """How large the checks are; ragged, so that no tile is full."""

    rows: int
    features: int
    hidden: tuple
    batch: int
    epochs: int


LARGE = Size(1503, 37, (65, 30), 101, 20)
SMALL = Size(45, 5, (6, 3), 16, 3)


class Finding(NamedTuple):
    """One check: what was found may not exceed the limit."""

    name: str
    found: float
    limit: float

    @property
    def holds(self):
        """Whether it is as it should be; nan is not."""
        return self.found <= self.limit

    def line(self):
        """The finding in a line."""
        verdict = "ok" if self.holds else "FAILED"
        return f"  {self.name:<52}{self.found:>10.1e}{self.limit:>10.1e}  {verdict}"


def _data(case, size):
    """X, y and sample weights."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(size.rows, size.features))
    scores = X @ rng.normal(size=(size.features, max(case.classes, 1)))
    y = scores.argmax(axis=1) if case.classes else np.sin(scores[:, 0])
    if case.classes == 2:
        y = (scores[:, 0] > 0).astype(int)
    weights = rng.uniform(0.2, 3, size.rows) if case.is_weighted else None
    if case.is_sparse:
        X = sparse.csr_array(np.where(np.abs(X) > 1, X, 0))
    return X, y, weights


def _fitted(case, size, device, dtype):
    """A model, and the data that it was trained on."""
    kind = MLPClassifier if case.classes else MLPRegressor
    model = kind(
        hidden_layer_sizes=size.hidden,
        batch_size=size.batch,
        max_iter=size.epochs,
        tol=0.0,
        n_iter_no_change=np.inf,
        random_state=0,
        device=device,
        dtype=dtype,
    )
    X, y, weights = _data(case, size)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.set_params(**case.settings).fit(X, y, weights), X


def apart(found, expected):
    """Largest difference, relative to the largest number expected."""
    found, expected = (np.asarray(a, dtype=np.float64) for a in (found, expected))
    return float(np.max(np.abs(found - expected)) / np.max(np.abs(expected)))


def _losses(cpu, gpu):
    """Losses by epoch of two models."""
    return {"cpu": cpu.history_["loss"], "gpu": gpu.history_["loss"]}


def curves(size, device, case, dtype):
    """Losses and predictions beside the CPU's.

    Yields
    ------
    finding : Finding
    curves : dict of list of float
        'cpu' and 'gpu'; None for a finding about something else.
    """
    cpu, X = _fitted(case, size, "cpu", dtype)
    gpu, _ = _fitted(case, size, device, dtype)
    name = f"{case.name}, {dtype}"
    both = _losses(cpu, gpu)
    found = apart(both["gpu"], both["cpu"])
    yield Finding(f"loss: {name}", found, CURVES[dtype]), both
    expected = gpu.set_params(device="cpu").predict(X)
    predicted = gpu.set_params(device=device).predict(X)
    if case.classes:
        wrong = float(np.mean(predicted != expected))
        # Rounding may turn a tie.
        yield Finding(f"labels: {name}", wrong, 0.001), None
    else:
        found = apart(predicted, expected)
        yield Finding(f"outputs: {name}", found, _OUTPUTS[dtype]), None


def tf32(size, device):
    """Losses of products with short factors beside the CPU's (see `curves`)."""
    cpu, _ = _fitted(_CASES[0], size, "cpu", "float32")
    gpu, _ = _fitted(_CASES[0], size, device, "tf32")
    both = _losses(cpu, gpu)
    found = apart(both["gpu"], both["cpu"])
    yield Finding("loss: relu, adam, tf32", found, CURVES["tf32"]), both


def stepwise(size, device, case, dtype):
    """Losses beside the CPU's of the program for large steps, made to take them all.

    Yields
    ------
    Finding
    None
    """
    from skmlp.backends.cuda import plan

    cpu, _ = _fitted(case, size, "cpu", dtype)
    with mock.patch.object(plan, "STEPWISE_FLOP", 0):
        gpu, _ = _fitted(case, size, device, dtype)
    both = _losses(cpu, gpu)
    name = f"loss, stepwise: {case.name}, {dtype}"
    yield Finding(name, apart(both["gpu"], both["cpu"]), CURVES[dtype]), None


def gradients(size, device, dtype):
    """The gradient over all rows, beside the reference and finite differences.

    Yields
    ------
    Finding
    None
    """
    loss = classification_loss("log_loss", "auto", True)
    sizes = (size.features, *size.hidden, 4)
    network = Network(sizes, ("tanh",) * len(size.hidden), loss, loss.output)
    rng = np.random.default_rng(0)
    rows = np.arange(min(size.rows, 200))
    x = rng.normal(size=(len(rows), size.features))
    targets = rng.integers(0, 4, size=(len(rows), 1))
    initializers = [INITIALIZERS["sklearn_uniform"]] * len(network.shapes)
    kinds = x.astype(dtype), targets.astype(dtype)
    problem = Problem(network, *kinds, None, rows, 0.3)
    first = init_params(
        network, initializers, np.random.RandomState(0), np.dtype(dtype)
    )
    with get_backend("reference").open_session(problem, first, None) as session:
        _, expected = session.loss_and_gradient(first)
    with get_backend(device).open_session(problem, first, None) as session:
        _, found = session.loss_and_gradient(first)
        name = f"gradient beside the reference, {dtype}"
        yield Finding(name, apart(found, expected), _GRADIENT[dtype]), None
        if dtype == "float64":
            slopes = _from_differences(session, first, found, rng)
            yield Finding("gradient beside differences", slopes, _DIFFERENCES), None


def _from_differences(session, first, gradient, rng):
    """How far slopes along some directions are from central differences."""
    slopes, differences = [], []
    for _ in range(5):
        direction = rng.normal(size=first.size)
        step = 1e-6 * direction
        above, _ = session.loss_and_gradient(first + step)
        below, _ = session.loss_and_gradient(first - step)
        slopes.append(float(gradient @ direction))
        differences.append((above - below) / 2e-6)
    return apart(slopes, differences)


def blocks(size, device, dtype):
    """Weights trained by several numbers of blocks: not a bit may differ.

    Yields
    ------
    Finding
    None
    """
    from skmlp.backends.cuda import plan

    usual, _ = _fitted(_CASES[0], size, device, dtype)
    for number in _BLOCKS:
        with mock.patch.object(plan, "choose_blocks", lambda *_, n=number: n):
            other, _ = _fitted(_CASES[0], size, device, dtype)
        pairs = zip(usual.coefs_, other.coefs_, strict=True)
        differing = sum(int(np.sum(a != b)) for a, b in pairs)
        name = f"weights that differ with {number} blocks, {dtype}"
        yield Finding(name, float(differing), 0.0), None


def _plan(device):
    """All checks: a function, and what it is given after size and device."""
    kinds = [(case, dtype) for case in _CASES for dtype in ("float32", "float64")]
    plan = [(curves, *kind) for kind in kinds]
    plan += [(gradients, dtype) for dtype in ("float64", "float32")]
    if device != "cpu":
        plan += [(stepwise, *kind) for kind in kinds]
        plan += [(blocks, dtype) for dtype in ("float32", "float64")] + [(tf32,)]
    return plan


def _made(size, device, check, *arguments):
    """What one check finds; one that fails on its way has found nothing good."""
    try:
        return list(check(size, device, *arguments))
    except Exception as error:
        told = ", ".join(getattr(part, "name", part) for part in arguments)
        name = f"{check.__name__}: {told}: {error!r:.300}"
        return [(Finding(name, float("nan"), 0.0), None)]


def run(size, device, processes):
    """All checks, printed as they end.

    Parameters
    ----------
    size : Size
    device : str
        With 'cpu' the checks are tried out, and those of a GPU's programs left out.
    processes : int
        That share the work, most of which is compilation.

    Returns
    -------
    findings : list of dict
    curves : dict of dict of list of float
    """
    print(f"{'check':<54}{'found':>10}{'allowed':>10}")
    findings, pairs = [], {}
    jobs = (joblib.delayed(_made)(size, device, *check) for check in _plan(device))
    try:
        shared = joblib.Parallel(
            processes, timeout=_MOST_SECONDS, return_as="generator"
        )
        for found in shared(jobs):
            for finding, both in found:
                findings.append(finding)
                if both is not None:
                    pairs[finding.name] = both
                print(finding.line(), flush=True)
    except Exception as error:  # a kernel that never ends, or ends its process
        findings.append(Finding(f"the checks broke off: {error!r:.300}", np.nan, 0.0))
        print(findings[-1].line(), flush=True)
    finally:
        # Else they would keep a part of the GPU's memory while others are timed, and
        # keep a run that is told to end from ending.
        get_reusable_executor().shutdown(kill_workers=True)
    return [{**f._asdict(), "holds": f.holds} for f in findings], pairs


def print_curves(pairs):
    """Print some losses of each curve, the CPU's over the GPU's."""
    for name, both in pairs.items():
        print(f"  {name}")
        for device, losses in both.items():
            some = losses[:: max(1, len(losses) // 6)]
            print(f"    {device}  " + " ".join(f"{loss:10.6f}" for loss in some))


def plot(pairs, file):
    """Draw the curves over one another."""
    from matplotlib.figure import Figure

    if not pairs:
        raise ValueError("no check has come to a curve")
    figure = Figure(figsize=(12, 3 * -(-len(pairs) // 4)), layout="constrained")
    axes = figure.subplots(-(-len(pairs) // 4), 4, squeeze=False).ravel()
    for axis, (name, both) in zip(axes, pairs.items(), strict=False):
        axis.plot(both["cpu"], color="0.7", linewidth=4, label="CPU")
        axis.plot(both["gpu"], color="C3", linewidth=1, label="GPU")
        axis.set_title(name.removeprefix("loss: "), fontsize=8)
        axis.set_xlabel("epoch")
    axes[0].legend()
    for axis in axes[len(pairs) :]:
        axis.remove()
    figure.savefig(file, dpi=120)
