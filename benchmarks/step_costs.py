"""What the model of a step is made of: seconds of a gradient, of a step, of a sum.

`step_model.py` has the model; `dask_fits.py` prints these figures and uses them.
"""

import statistics
import time

import numpy as np
from distributed import get_worker

import skmlp
from skmlp.backends import Problem, Share, cpu
from skmlp.dask.collective import CommCollective
from skmlp.dask.mailbox import open_mailbox
from skmlp.network import Network, init_params
from skmlp.rules.initializers import INITIALIZERS
from skmlp.rules.losses import REGRESSION_LOSSES
from skmlp.training.optimizer_state import OptimizerState, make_optimizer_config

_SIZES = (10_000, 100_000, 1_000_000)
_WARM_UPS = 3
_LIMIT_SECONDS = 60.0


def measure_step(network, repeats):
    """Seconds of one thread for the gradient of a minibatch and for applying it."""
    n_rows, features = network.batch_size, network.units[0]
    generator = np.random.default_rng(0)
    x = generator.standard_normal((n_rows, features), dtype=np.float32)
    targets = generator.standard_normal((n_rows, network.units[-1]), dtype=np.float32)
    row = REGRESSION_LOSSES["squared_error", "identity"]
    hidden = ("relu",) * (len(network.units) - 2)
    trained = Network(network.units, hidden, row, row.output)
    initializers = [INITIALIZERS["sklearn_uniform"]] * (len(network.units) - 1)
    start = init_params(trained, initializers, np.random.RandomState(0), np.float32)
    config = make_optimizer_config(skmlp.MLPRegressor())
    optimizer = OptimizerState(config, len(start), np.float32)
    rows = np.arange(n_rows)
    share = Share(rows, n_rows, first_row=0, capacity=n_rows)
    times = []
    with cpu.open_session(
        Problem(trained, x, targets, None, rows, 1e-4), start, 1
    ) as s:
        for i in range(_WARM_UPS + repeats):
            step = optimizer.next_rates((i, i + 1), _WARM_UPS + repeats).table[0]
            begin = time.perf_counter()
            _, gradient = s.gradient(share, step)
            middle = time.perf_counter()
            s.apply(optimizer, gradient, n_rows, step)
            times.append((middle - begin, time.perf_counter() - middle))
    seconds = np.median(times[_WARM_UPS:], axis=0).tolist()
    return {
        **{"part": "step", "units": network.units, "batch_size": n_rows},
        **dict(zip(("gradient", "apply"), seconds, strict=True)),
    }


def _sums_of_a_worker(fit, addresses, sizes, repeats):
    """Run on every worker: median seconds of a sum, by the size of the vector."""
    found = []
    with CommCollective(get_worker(), fit, addresses) as collective:
        for size in sizes:
            vector = np.ones(size // 4, dtype=np.float32)
            times = []
            for _ in range(_WARM_UPS + repeats):
                start = time.perf_counter()
                collective.all_reduce("benchmark", vector)
                times.append(time.perf_counter() - start)
            found.append(statistics.median(times[_WARM_UPS:]))
    return found


def _open(fit, ranks, dask_worker=None):
    rank = ranks[dask_worker.address]
    open_mailbox(dask_worker, fit, rank, len(ranks), _LIMIT_SECONDS)


def measure_sums(client, repeats):
    """Yield an entry for each size of a vector; the figure of the slowest worker."""
    addresses = [*client.scheduler_info()["workers"]]
    fit = f"sums of {len(addresses)}"
    client.run(_open, fit, {each: rank for rank, each in enumerate(addresses)})
    calls = [
        client.submit(
            *(_sums_of_a_worker, fit, addresses, _SIZES, repeats),
            **{"workers": [address], "pure": False},
        )
        for address in addresses
    ]
    by_worker = client.gather(calls)
    for size, times in zip(_SIZES, zip(*by_worker, strict=True), strict=True):
        yield {
            "part": "sum",
            "workers": len(addresses),
            "bytes": size,
            "seconds": max(times),
        }
