"""Workers that are killed or retired in the middle of a fit, and clients that go."""

import os
import signal
import subprocess
import sys
import threading
import time

import dask
import dask.array as da
import joblib
import numpy as np
import pytest
from dask_ranks import left_behind

from skmlp import MLPClassifier
from skmlp.dask import DaskMLPClassifier

# A cluster that ends tells of connections that its workers have closed before.
pytestmark = pytest.mark.filterwarnings("ignore:.*:ResourceWarning")

N_EPOCHS = 12
# More moments at which to kill a worker take some seconds each.
N_MOMENTS = int(os.environ.get("SKMLP_TEST_KILLS", "4"))
PARAMETERS = {
    "hidden_layer_sizes": (50,),
    "batch_size": 20,
    "max_iter": N_EPOCHS,
    "n_iter_no_change": N_EPOCHS,
    "learning_rate": "cosine",
    "random_state": 0,
}


@pytest.fixture
def data(client):
    """Rows of four partitions, on two workers."""
    wait_for_workers(client, 2)
    rng = np.random.RandomState(0)
    X = rng.standard_normal((20_000, 10))
    y = (X[:, 0] + X[:, 1] > 0).astype(int)
    return da.from_array(X, chunks=(5000, 10)), da.from_array(y, chunks=5000)


@pytest.fixture(scope="module", autouse=True)
def compiled(client):
    """The kernels, in the cache of all workers."""
    X = da.ones((20, 10), chunks=(10, 10))
    X = da.concatenate([X, -X])
    DaskMLPClassifier(**PARAMETERS, client=client).fit(X, (X[:, 0] > 0).astype(int))


def wait_for_workers(client, n_workers):
    deadline = time.monotonic() + 60
    while len(client.nthreads()) != n_workers:
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Killer:
    """Kills a worker's process at the end of an epoch, or a moment later."""

    def __init__(self, client, which, epoch, delay=0.0):
        self.address = sorted(client.nthreads())[which]
        self._pid = client.run(os.getpid, workers=[self.address])[self.address]
        self._epoch, self._delay = epoch, delay
        self.epochs, self.at = [], None

    def __call__(self, epoch):
        self.epochs.append(epoch.epoch)
        if epoch.epoch == self._epoch and self.at is None:
            self.at = time.monotonic()
            threading.Timer(self._delay, os.kill, (self._pid, signal.SIGKILL)).start()


@pytest.mark.parametrize("which", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_killed_worker_ends_the_fit_with_its_name(client, data, which):
    killer = Killer(client, which, epoch=2)
    model = DaskMLPClassifier(**PARAMETERS, client=client)
    before = vars(model).copy()
    with pytest.raises(RuntimeError, match="With checkpoint=, a directory") as raised:
        model.fit(*data, on_epoch=killer)
    found = f"The worker {killer.address} was lost after epoch {killer.epochs[-1]}"
    assert str(raised.value).startswith(found)
    assert time.monotonic() - killer.at < 60
    assert vars(model) == before


@pytest.mark.parametrize("which", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_a_fit_goes_on_from_its_checkpoint(client, data, which, tmp_path):
    killer = Killer(client, which, epoch=3)
    model = DaskMLPClassifier(**PARAMETERS, client=client, checkpoint=str(tmp_path))
    model.fit(*data, on_epoch=killer)
    assert model.n_iter_ == N_EPOCHS == len(model.loss_curve_)
    # Each epoch is told once, but those after the last checkpoint that was told.
    assert sorted(set(killer.epochs)) == [*range(1, N_EPOCHS + 1)]
    assert model.score(*data) > 0.9
    saved = joblib.load(tmp_path / "checkpoint.joblib")
    assert isinstance(saved, MLPClassifier)
    assert saved.n_iter_ == N_EPOCHS


@pytest.mark.slow
@pytest.mark.parametrize("moment", range(N_MOMENTS))
def test_a_worker_killed_at_any_moment(client, data, moment, tmp_path):
    rng = np.random.RandomState(moment)
    killer = Killer(client, rng.randint(2), rng.randint(1, 5), 0.3 * rng.rand())
    model = DaskMLPClassifier(**PARAMETERS, client=client)
    if moment % 2:
        model.set_params(checkpoint=str(tmp_path))
    message = ""
    try:
        model.fit(*data, on_epoch=killer)
    except RuntimeError as error:
        message = str(error)
    assert killer.address in message or not message
    assert hasattr(model, "coefs_") == (not message)
    if not message:
        assert model.n_iter_ == N_EPOCHS
    assert time.monotonic() - killer.at < 60
    if moment % 2:
        assert joblib.load(tmp_path / "checkpoint.joblib").n_iter_ >= 1


@pytest.mark.slow
def test_a_retired_worker_ends_the_fit_with_its_name(started, data):
    X, y = data
    with started(2) as client:
        address = sorted(client.nthreads())[1]
        retiring = threading.Thread(
            target=client.retire_workers, args=([address],), daemon=True
        )

        def retire(epoch):
            if epoch.epoch == 1:
                retiring.start()

        model = DaskMLPClassifier(**PARAMETERS | {"max_iter": 5000}, client=client)
        with pytest.raises(RuntimeError, match=f"The worker {address} was lost"):
            model.fit(X, y, on_epoch=retire)


def slow_rows(n_rows):
    time.sleep(20)
    return np.ones((n_rows, 3))


def test_a_worker_killed_while_it_loads_data_is_named(client, data):
    parts = [dask.delayed(slow_rows)(10) for _ in range(2)]
    address = sorted(client.nthreads())[1]
    pid = client.run(os.getpid, workers=[address])[address]
    threading.Timer(1.0, os.kill, (pid, signal.SIGKILL)).start()
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=f"The worker {address} was lost"):
        DaskMLPClassifier(client=client).fit(parts, parts)
    assert time.monotonic() - start < 15


def test_ctrl_c_stops_the_tasks(client, data):
    def press(epoch):
        if epoch.epoch == 2:
            os.kill(os.getpid(), signal.SIGINT)

    model = DaskMLPClassifier(**PARAMETERS | {"max_iter": 5000}, client=client)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        model.fit(*data, on_epoch=press)
    assert not hasattr(model, "coefs_")
    wait_until_idle(client)
    assert time.monotonic() - start < 90


def wait_until_idle(client):
    """Wait until no rank runs any more, which would go on for minutes."""
    deadline = time.monotonic() + 20
    while any(client.run(left_behind).values()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


_SCRIPT = """
import sys
import warnings

import dask
import dask.array as da
from distributed import Client
from skmlp.dask import DaskMLPClassifier

client = Client(sys.argv[1])
X = da.random.default_rng(0).normal(size=(20_000, 10), chunks=(5000, 10))
model = DaskMLPClassifier((50,), max_iter=100_000, tol=0, n_iter_no_change=100_000)
model.fit(X, (X[:, 0] > 0).astype(int), on_epoch=lambda e: print(e.epoch, flush=True))
"""


def test_tasks_end_when_the_client_is_killed(client, data):
    address = client.scheduler.address
    with subprocess.Popen(
        [sys.executable, "-c", _SCRIPT, address], stdout=subprocess.PIPE, text=True
    ) as process:
        killer = threading.Timer(60, process.kill)
        killer.start()
        assert process.stdout.readline().strip() == "1"
        process.kill()
        killer.cancel()
    wait_until_idle(client)
