"""X that is on the device already: used without a copy, by the CUDA array interface."""

import numpy as np
from gpu_fixtures import on_device, parameters_for, problem_of
from numba import cuda
from numpy.testing import assert_array_equal
from optimizers import make_optimizer

from skmlp.backends.cuda.runtime import memory


class OnDevice:
    """An array on a device with the attributes that a backend may use."""

    def __init__(self, values):
        self._values = values
        if not memory.SIMULATED:
            self._values = cuda.to_device(values)
        self.shape, self.dtype = values.shape, values.dtype

    @property
    def __cuda_array_interface__(self):
        if memory.SIMULATED:
            return self._values.__array_interface__
        return self._values.__cuda_array_interface__


def all_results(problem):
    """All results of a session and of predictions for a problem."""
    network, vector = problem.network, parameters_for(problem.network)
    with on_device().open_session(problem, vector) as session:
        yield session.outputs(problem.x, np.array([3, 0]))
        loss, gradient = session.loss_and_gradient(vector)
        yield loss
        yield gradient
        optimizer = make_optimizer("adam", vector.size)
        rates = optimizer.next_rates((0, 6), 6).table
        yield session.train(optimizer, problem.row_ids, 4, (0, 6), rates, 0.0)
        yield session.params
    yield from on_device().outputs(network, vector, problem.x, "softmax")


def test_results_have_the_bits_of_an_x_on_the_host():
    problem = problem_of(weighted=True, n_rows=23)
    on_gpu = problem._replace(x=OnDevice(problem.x))
    for got, expected in zip(all_results(on_gpu), all_results(problem), strict=True):
        assert_array_equal(got, expected)


def test_infinities_on_the_device_are_detected():
    problem = problem_of()
    vector = parameters_for(problem.network)
    x = problem.x.copy()
    x[3, 1] = np.inf
    _, finite = on_device().outputs(problem.network, vector, OnDevice(x), "identity")
    assert not finite
