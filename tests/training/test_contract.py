"""The three backends against the contract of `skmlp.backends`: the same signatures.

Training calls by position, so another name would not show anywhere else. mypy checks
that the functions exist and how many arguments they take.
"""

import inspect

import pytest

from skmlp import backends
from skmlp.backends import cpu, reference

cuda_backend = pytest.importorskip("skmlp.backends.cuda.backend")
BACKENDS = {"reference": reference, "cpu": cpu, "cuda": cuda_backend.Backend}
SESSIONS = {
    "reference": reference.Session,
    "cpu": cpu.session.Session,
    "cuda": cuda_backend.session.Session,
}


def functions(contract):
    """Functions of a protocol by name, those of its bases included."""
    return {
        name: member
        for cls in reversed(contract.__mro__)
        if cls.__module__ == backends.__name__
        for name, member in vars(cls).items()
        if inspect.isfunction(member) and not name.startswith("_")
    }


def parameters(function):
    """Names and kinds of the parameters; a default only allows more calls."""
    signature = inspect.signature(function)
    return [(p.name, p.kind) for p in signature.parameters.values() if p.name != "self"]


@pytest.mark.parametrize("name", BACKENDS)
def test_backends_keep_the_contract(name):
    contract = backends.DeviceBackend if name == "cuda" else backends.Backend
    for function, declared in functions(contract).items():
        found = getattr(BACKENDS[name], function)
        assert parameters(found) == parameters(declared), function


@pytest.mark.parametrize("name", SESSIONS)
def test_sessions_keep_the_contract(name):
    # GPUs do not share minibatches.
    contract = backends.Session if name == "cuda" else backends.SharedSession
    session, declared = SESSIONS[name], functions(contract)
    for function, expected in declared.items():
        assert parameters(getattr(session, function)) == parameters(expected), function


def test_cpu_sessions_can_be_reused():
    for function, expected in functions(backends.ReusableSession).items():
        found = getattr(SESSIONS["cpu"], function)
        assert parameters(found) == parameters(expected), function


def test_the_contract_is_all_that_training_uses():
    assert set(functions(backends.Session)) == {
        "load_params",
        "rewind",
        "sync",
        "train",
        "train_epochs",
        "loss_and_gradient",
        "hidden_outputs",
        "outputs",
    }
    assert set(functions(backends.SharedSession)) - set(
        functions(backends.Session)
    ) == {
        "gradient",
        "apply",
    }
    assert set(functions(backends.Backend)) == {
        "open_session",
        "outputs",
        "predictor",
        "evaluate",
        "row_losses",
    }


def test_another_signature_would_be_found():
    def train(self, optimizer, order, batch_size, span, rates, total):
        """One name of another one."""

    assert parameters(train) != parameters(backends.Session.train)
