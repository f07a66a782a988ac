"""JAX as its experts train a small network: one compiled call an epoch.

An epoch is a `lax.scan` over the minibatches of a permutation, inside one `jit` whose
parameters and moments are donated, with optax's Adam. A last batch with fewer rows is
one more step in the same call.
"""

import itertools
import os

import joblib
import numpy as np


class Jax:
    """JAX on the CPU."""

    name = "jax"

    def __init__(self, workload, X, y, threads):
        # XLA sizes its thread pool by the process's affinity, and has no option for it.
        if threads < joblib.cpu_count():
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        import jax
        import optax
        import peers

        jax.config.update("jax_platforms", "cpu")
        if X.dtype == np.float64:
            jax.config.update("jax_enable_x64", True)
        self._jax, self._workload, self._alpha = jax, workload, peers.ALPHA
        self._optimizer = optax.adam(peers.LEARNING_RATE)
        y = y if workload.task == "multiclass" else y.astype(X.dtype)
        self._data = jax.device_put(X), jax.device_put(y)
        self._epoch = jax.jit(self._train_epoch, donate_argnums=(0, 1))

    def _initial(self):
        jax, workload = self._jax, self._workload
        sizes = (workload.features, *workload.hidden, workload.outputs)
        keys = jax.random.split(jax.random.key(0), len(sizes))
        dtype, parameters = self._data[0].dtype, []
        for key, (fan_in, fan_out) in zip(
            keys, itertools.pairwise(sizes), strict=False
        ):
            bound = (6 / (fan_in + fan_out)) ** 0.5
            weights = jax.random.uniform(key, (fan_in, fan_out), dtype, -bound, bound)
            parameters.append((weights, jax.numpy.zeros(fan_out, dtype)))
        return parameters

    def _loss(self, parameters, X, y):
        jax, workload = self._jax, self._workload
        jnp = jax.numpy
        activation = {
            "relu": jax.nn.relu,
            "tanh": jnp.tanh,
            "logistic": jax.nn.sigmoid,
        }[workload.activation]
        a = X
        for weights, biases in parameters[:-1]:
            a = activation(a @ weights + biases)
        z = a @ parameters[-1][0] + parameters[-1][1]
        if workload.task == "multiclass":
            losses = -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1)
        elif workload.task == "binary":
            losses = jax.nn.softplus(z[:, 0]) - y * z[:, 0]
        else:
            losses = 0.5 * (z[:, 0] - y) ** 2
        # scikit-learn divides the penalty by the rows of the batch.
        squares = sum(jnp.sum(weights**2) for weights, _ in parameters)
        return jnp.mean(losses) + 0.5 * self._alpha / len(X) * squares

    def _step(self, carry, rows):
        parameters, state = carry
        X, y = self._data
        value_and_slopes = self._jax.value_and_grad(self._loss)
        loss, slopes = value_and_slopes(parameters, X[rows], y[rows])
        updates, state = self._optimizer.update(slopes, state)
        parameters = self._jax.tree.map(lambda p, u: p + u, parameters, updates)
        return (parameters, state), loss * len(rows)

    def _train_epoch(self, parameters, state, key):
        n_rows, batch_size = len(self._data[0]), self._workload.batch_size
        order = self._jax.random.permutation(key, n_rows)
        n_whole = n_rows // batch_size
        end = n_whole * batch_size
        whole, rest = order[:end].reshape(n_whole, batch_size), order[end:]
        carry, losses = self._jax.lax.scan(self._step, (parameters, state), whole)
        total = losses.sum()
        if len(rest):
            carry, loss = self._step(carry, rest)
            total += loss
        return *carry, total / n_rows

    def fit(self, epochs):
        """Train a new network; returns its loss."""
        parameters = self._initial()
        state = self._optimizer.init(parameters)
        loss = None
        for key in self._jax.random.split(self._jax.random.key(1), epochs):
            parameters, state, loss = self._epoch(parameters, state, key)
        return float(loss)
