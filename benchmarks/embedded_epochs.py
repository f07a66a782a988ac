"""Time of an epoch with trained embeddings of numbers, beside PyTorch and JAX.

The network of the tabular estimators: numbers through a trained piecewise-linear
embedding, three hidden layers of 128 mish units, Adam. The peers are written as their
experts would: the encoding of X, which never changes, is computed once outside of the
time; PyTorch runs eager with the fused Adam, JAX compiles the whole epoch, a scan over
shuffled minibatches with donated buffers. skmlp encodes as it trains.
"""

import argparse
import itertools
import warnings

import machine
import numpy as np
import timing
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits

import skmlp
from skmlp.embedding import fitted_embedding

_HIDDEN, _N_BINS, _DIM, _RATE = (128, 128, 128), 16, 4, 1e-3
_EPOCHS = 12
# Rows, features, rows of a minibatch.
_SHAPES = ((2_000, 10, 128), (8_000, 20, 128), (20_000, 50, 256))


class Skmlp:
    """The plain regressor with the embedding."""

    name = "skmlp"

    def __init__(self, X, y, batch_size, threads):
        self._data = (X, y)
        self._parameters = {
            "hidden_layer_sizes": _HIDDEN,
            "activation": "mish",
            "alpha": 0.0,
            "batch_size": batch_size,
            "learning_rate_init": _RATE,
            "tol": 0.0,
            "n_iter_no_change": np.inf,
            "random_state": 0,
            "embedding": "piecewise_linear",
            "n_bins": _N_BINS,
            "embedding_dim": _DIM,
            "n_jobs": threads,
        }

    def fit(self, epochs):
        """Train a new network; returns its loss."""
        model = skmlp.MLPRegressor(max_iter=epochs, **self._parameters)
        with warnings.catch_warnings():
            # Every fit ends by max_iter, on purpose.
            warnings.simplefilter("ignore", ConvergenceWarning)
            return model.fit(*self._data).loss_


def encodings(X):
    """The encodings of all columns, of shape (n_rows, n_features, n_bins)."""
    embedding = fitted_embedding(X, _N_BINS, _DIM)
    return np.stack(embedding.encoded(X), axis=1)


class Torch:
    """PyTorch, eager, with an einsum for the matrices of all columns."""

    name = "torch"

    def __init__(self, X, y, batch_size, threads):
        import torch

        torch.set_num_threads(threads)
        self._torch, self._batch_size = torch, batch_size
        self._arrays = [torch.from_numpy(a) for a in (X, encodings(X), y[:, None])]

    def fit(self, epochs):
        """Train a new network; returns its loss."""
        torch, (X, codes, y) = self._torch, self._arrays
        nn, n_features = torch.nn, X.shape[1]
        torch.manual_seed(0)
        matrices = nn.Parameter(torch.randn(n_features, _N_BINS, _DIM) / _N_BINS**0.5)
        layers, fan_in = [], n_features * (1 + _DIM)
        for units in _HIDDEN:
            layers += [nn.Linear(fan_in, units), nn.Mish()]
            fan_in = units
        network = nn.Sequential(*layers, nn.Linear(fan_in, 1))
        parameters = [matrices, *network.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=_RATE, fused=True)
        for _ in range(epochs):
            total = 0.0
            for rows in torch.randperm(len(X)).split(self._batch_size):
                embedded = torch.einsum("nfb,fbd->nfd", codes[rows], matrices)
                inputs = torch.cat([X[rows], embedded.flatten(1)], dim=1)
                loss = nn.functional.mse_loss(network(inputs), y[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += loss.item() * len(rows)
        return total / len(X) / 2


class Jax:
    """JAX, an epoch of whole minibatches in one compiled scan."""

    name = "jax"

    def __init__(self, X, y, batch_size, threads):
        import jax
        import optax

        self._jax, self._batch_size = jax, batch_size
        self._arrays = [jax.device_put(a) for a in (X, encodings(X), y)]
        self._optimizer = optax.adam(_RATE)
        self._epoch = jax.jit(self._train_epoch, donate_argnums=(0, 1))

    def _initial(self):
        jax, n_features = self._jax, self._arrays[0].shape[1]
        keys = iter(jax.random.split(jax.random.key(0), len(_HIDDEN) + 2))
        shape = (n_features, _N_BINS, _DIM)
        parameters = [jax.random.normal(next(keys), shape) / _N_BINS**0.5]
        sizes = (n_features * (1 + _DIM), *_HIDDEN, 1)
        for fan_in, fan_out in itertools.pairwise(sizes):
            bound = (6 / (fan_in + fan_out)) ** 0.5
            weights = jax.random.uniform(
                next(keys), (fan_in, fan_out), minval=-bound, maxval=bound
            )
            parameters += [weights, jax.numpy.zeros(fan_out)]
        return parameters

    def _loss(self, parameters, X, codes, y):
        jnp = self._jax.numpy
        matrices, *layers = parameters
        embedded = jnp.einsum("nfb,fbd->nfd", codes, matrices)
        a = jnp.concatenate([X, embedded.reshape(len(X), -1)], axis=1)
        for weights, biases in zip(layers[:-2:2], layers[1:-2:2], strict=True):
            z = a @ weights + biases
            a = z * jnp.tanh(self._jax.nn.softplus(z))
        error = (a @ layers[-2] + layers[-1])[:, 0] - y
        return 0.5 * jnp.mean(error**2)

    def _train_epoch(self, parameters, state, key):
        jax, (X, codes, y) = self._jax, self._arrays
        n_batches = len(X) // self._batch_size
        order = jax.random.permutation(key, len(X))[: n_batches * self._batch_size]

        def step(carry, rows):
            parameters, state = carry
            loss, slopes = jax.value_and_grad(self._loss)(
                parameters, X[rows], codes[rows], y[rows]
            )
            updates, state = self._optimizer.update(slopes, state)
            parameters = jax.tree.map(lambda p, u: p + u, parameters, updates)
            return (parameters, state), loss

        carry, losses = jax.lax.scan(
            step, (parameters, state), order.reshape(n_batches, -1)
        )
        return *carry, losses.mean()

    def fit(self, epochs):
        """Train a new network; returns its loss."""
        parameters = self._initial()
        state = self._optimizer.init(parameters)
        loss = None
        for key in self._jax.random.split(self._jax.random.key(1), epochs):
            parameters, state, loss = self._epoch(parameters, state, key)
        return float(loss)


def data_of(n_rows, n_features):
    """Numbers of different spreads, and a target that bends."""
    generator = np.random.default_rng(0)
    X = generator.standard_normal((n_rows, n_features)).astype(np.float32)
    y = np.sin(3 * X[:, 0]) + np.abs(X[:, 1]) + 0.1 * generator.standard_normal(n_rows)
    return X, y.astype(np.float32)


def main():
    """Print a line for each shape."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    print(machine.in_words(machine.describe()))
    print(f"threads of every peer: {options.threads}; float32; ms an epoch\n")
    print("| rows | features | batch | skmlp | torch | jax | torch/skmlp | jax/skmlp |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    ratios = []
    with threadpool_limits(options.threads):
        for n_rows, n_features, batch_size in _SHAPES:
            data = data_of(n_rows, n_features)
            peers = {
                peer.name: peer(*data, batch_size, options.threads)
                for peer in (Skmlp, Torch, Jax)
            }
            results = timing.results_in_turns(peers, _EPOCHS, options.rounds)
            ms = {name: 1e3 * result["epoch"] for name, result in results.items()}
            ratios.append([ms[name] / ms["skmlp"] for name in ("torch", "jax")])
            cells = (n_rows, n_features, batch_size, *(f"{t:.1f}" for t in ms.values()))
            words = [*map(str, cells), *(f"{ratio:.2f}" for ratio in ratios[-1])]
            print(f"| {' | '.join(words)} |")
            losses = ", ".join(f"{n} {r['loss']:.4f}" for n, r in results.items())
            print(f"losses: {losses}")
    print("\ngeometric means:", *np.exp(np.log(ratios).mean(axis=0)).round(2))


if __name__ == "__main__":
    main()
