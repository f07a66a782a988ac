"""What the tests of the CUDA backend train, and comparisons with the reference.

Sizes are those at which the simulator's tiles of 8 rows and columns are cut off on all
sides. Memory is nan in the simulator until it is written, so a result that equals the
reference's has read none of that.
"""

from typing import NamedTuple

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from optimizers import make_optimizer
from rule_runners import outputs_of, parameters_of, row_of, targets_of
from scipy import sparse

from skmlp.backends import Problem, Regularization, get_backend, reference
from skmlp.embedding import fitted_embedding
from skmlp.network import Network, layout, norm_state, views

SOFTMAX = row_of("log_loss-softmax-labels")
SQUARED = row_of("squared_error-identity")
UNITS = (6, 9, 5)
# Numbers of blocks that may not change a bit, and the smallest sizes that have three
# times three tiles, whole and cut off, in a layer's products: work for all blocks.
BLOCKS = (1, 4, 8)
WIDE, WIDE_BATCH = {"n_rows": 19, "n_features": 17, "units": (17, 9)}, 17


def problem_of(
    row=SOFTMAX,
    activations=("tanh",),
    *,
    n_rows=11,
    n_features=5,
    units=UNITS,
    parameters=None,
    weighted=False,
    is_sparse=False,
    intercepts=True,
    normalization=None,
    bins=None,
    **regularization,
):
    """A problem in double precision, its data drawn from a fixed seed.

    With a number of `bins` its features are embedded, but for one that is binary.
    """
    rng = np.random.default_rng(3)
    targets = targets_of(row, n_rows, rng)
    sizes = (n_features, *units[: len(activations)])
    network = Network(
        sizes=(*sizes, outputs_of(row, targets.shape[1])),
        activations=tuple(activations),
        loss=row,
        output=row.output,
        loss_params=parameters or parameters_of(row),
        intercepts=intercepts,
        normalization=normalization,
    )
    x = rng.normal(size=(n_rows, n_features))
    if is_sparse:
        x = sparse.csr_array(x * (rng.random(x.shape) < 0.4))
    if bins is not None:
        x[:, 1] = x[:, 1] > 0
        embedding = fitted_embedding(x, bins, dim=3)
        sizes = (embedding.width, *network.sizes[1:])
        network = network._replace(sizes=sizes, embedding=embedding)
    return Problem(
        network=network,
        x=x,
        targets=targets,
        sample_weight=rng.uniform(0.2, 3, n_rows) if weighted else None,
        row_ids=np.arange(n_rows),
        alpha=0.3,
        regularization=Regularization(**regularization),
    )


def parameters_for(network):
    """Parameters other than zero, except biases that are not trained."""
    vector = np.random.default_rng(1).normal(size=layout(network).size) * 0.5
    for part in norm_state(network, vector).means:
        part *= 0.1
    for part in (
        *norm_state(network, vector).scales,
        *norm_state(network, vector).variances,
    ):
        part[:] = 1 + 0.2 * np.abs(part)
    if not network.intercepts:
        for part in views(network, vector)[1]:
            part[:] = 0
    return vector


def cast(problem, dtype):
    """A problem in another precision."""
    weights = (
        None if problem.sample_weight is None else problem.sample_weight.astype(dtype)
    )
    return problem._replace(
        x=problem.x.astype(dtype),
        targets=problem.targets.astype(dtype),
        sample_weight=weights,
    )


class TrainResult(NamedTuple):
    """The results of a training."""

    loss: float
    parameters: np.ndarray
    slots: np.ndarray
    raw: np.ndarray


def train(backend, problem, *, solver="adam", batch_size=4, cuts=(), dtype=np.float64):
    """Two epochs, each in another order; each call ends at one of `cuts`."""
    problem = cast(problem, dtype)
    vector = parameters_for(problem.network).astype(dtype)
    settings = {}
    if problem.regularization.has_dropout_schedule:
        # Within the first epoch, and, since none is ended, within the second.
        settings = {"dropout_schedule": "flat_cosine", "max_iter": 1}
    optimizer = make_optimizer(
        solver, vector.size, dtype, problem.given_segments, **settings
    )
    n_batches = -(-len(problem.row_ids) // batch_size)
    ends = (*cuts, n_batches)
    loss = 0.0
    with backend.open_session(problem, vector) as session:
        for epoch in range(2):
            order = np.random.default_rng(epoch).permutation(problem.row_ids)
            for span in zip((0, *cuts), ends, strict=True):
                rates = optimizer.next_rates(span, n_batches).table
                loss = session.train(optimizer, order, batch_size, span, rates, loss)
        parameters = np.array(session.params)
        raw = session.outputs(problem.x, np.array([2, 0, 4]))
    return TrainResult(loss, parameters, optimizer.slots, raw)


def on_device():
    """The backend of the tests' device."""
    return get_backend("cuda")


def assert_near(got, expected, rtol):
    """Compare two trainings, relative to the largest element of each array."""
    for name, mine, theirs in zip(TrainResult._fields, got, expected, strict=True):
        atol = rtol * np.max(np.abs(theirs), initial=0.0)
        assert_allclose(mine, theirs, rtol=rtol, atol=atol, err_msg=name)


def assert_same_bits(mine, theirs):
    """Whether two trainings came to the same numbers, bit by bit."""
    for name, one, other in zip(TrainResult._fields, mine, theirs, strict=True):
        assert_array_equal(one, other, err_msg=name)


def assert_equals_reference(problem, *, dtype=np.float64, rtol=1e-9, **settings):
    """Train on the device and by the reference, and compare."""
    expected = train(reference, problem, **settings)
    start = parameters_for(problem.network)
    assert np.isfinite(expected.parameters).all()
    assert not np.array_equal(expected.parameters, start)
    got = train(on_device(), problem, dtype=dtype, **settings)
    assert got.parameters.dtype == got.slots.dtype == got.raw.dtype == dtype
    assert_near(got, expected, rtol if dtype == np.float64 else 1e-3)
