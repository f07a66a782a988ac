"""Features without labels: columns, components or a code that show two groups.

Rows come from two groups, and nothing says which from which. A row is a point on a
surface, of which twenty columns are noisy waves. Six columns have another cause.
Columns are to be chosen, or made, in which a mixture of two normal distributions finds
the groups: raw columns, principal components, or the code of an autoencoder.

What is good without labels? Likelihoods of different features cannot be compared: in
millimeters a density is a thousandth of that in meters. A ratio can: how much more
likely are held-out rows under two components than under one? The unit falls out. Its
mean logarithm in cross-validation is the gain in the table; features are learned on the
training rows of a fold alone. Two components also gain by whatever else is not normal,
the more the more features there are: so features are compared with as many others. At
the end the true groups, which no choice has seen, measure the agreement. Other data
have other winners: the gain is there to find them.
"""

import time

import numpy as np
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # scikit-learn depends on it

from skmlp import MLPAutoencoder

N_ROWS, N_MEASURED, N_OTHERS = 1000, 20, 6
FOLDS = KFold(4, shuffle=True, random_state=0)
SIZES = (1, 2, 3)


def two_groups():
    """Rows of both groups, and which row is of which."""
    generator = np.random.default_rng(2)
    groups = generator.integers(0, 2, N_ROWS)
    # Two clouds side by side.
    surface = generator.normal(size=(N_ROWS, 2)) * [1, 0.3]
    surface[:, 1] += np.where(groups == 1, 0.7, -0.7)
    directions = generator.normal(size=(2, N_MEASURED))
    shifts = generator.uniform(-1.5, 1.5, N_MEASURED)
    measured = np.sin(surface @ directions + shifts)
    measured += 0.5 * generator.normal(size=measured.shape)
    # What the others have in common is larger, but has nothing to do with the groups.
    others = generator.normal(size=(N_ROWS, N_OTHERS))
    others += 1.5 * generator.normal(size=(N_ROWS, 1))
    return np.hstack([measured, others]), groups


def mixture(n_components):
    return GaussianMixture(n_components, random_state=0)


def gain(features, X):
    """How much better two components are than one, in nats per held-out row."""
    gains = []
    for train, test in FOLDS.split(X):
        fitted = clone(features).fit(X[train])
        known, new = fitted.transform(X[train]), fitted.transform(X[test])
        one, two = (mixture(n).fit(known).score(new) for n in (1, 2))
        gains.append(two - one)
    return np.mean(gains)


def columns(*chosen):
    """The transformer that takes some columns as they are."""
    return make_column_transformer(("passthrough", list(chosen)))


def best_columns(X):
    """All columns, those first that gain most by themselves."""
    return sorted(range(X.shape[1]), key=lambda i: -gain(columns(i), X))


def autoencoder(n_units):
    """A code of some units, learned from all columns together."""
    network = MLPAutoencoder(
        (50, n_units, 50),
        "tanh",
        learning_rate="one_cycle",
        learning_rate_init=0.02,
        max_iter=100,
        batch_size=50,
        random_state=0,
    )
    return make_pipeline(StandardScaler(), network)


def candidates(X):
    """Kind, number of features and transformer."""
    chosen = best_columns(X)
    for n in SIZES:
        yield "raw columns", n, columns(*chosen[:n])
        yield "PCA", n, make_pipeline(StandardScaler(), PCA(n))
        yield "autoencoder", n, autoencoder(n)
    yield "all columns", X.shape[1], columns(*range(X.shape[1]))


def results_of(X, groups):
    """Gains and agreements by number of features and kind; prints them."""
    print(f"{'features':>10} {'':<12}{'gain':>8}{'agreement':>12}{'seconds':>9}")
    results = {}
    for kind, n, features in candidates(X):
        start = time.perf_counter()
        held_out = gain(features, X)
        found = mixture(2).fit_predict(clone(features).fit_transform(X))
        agreement = adjusted_rand_score(groups, found)
        seconds = time.perf_counter() - start
        results.setdefault(n, {})[kind] = held_out, agreement
        print(f"{n:>10} {kind:<12}{held_out:>8.3f}{agreement:>12.2f}{seconds:>9.1f}")
    return results


def main():
    """Print the table and what follows from it."""
    X, groups = two_groups()
    # Threads take longer to start than such small mixtures to fit.
    with threadpool_limits(limits=1, user_api="blas"):
        results = results_of(X, groups)
    size = max(SIZES)
    kind = max(results[size], key=lambda kind: results[size][kind][0])
    held_out, agreement = results[size][kind]
    print(
        f"\nOf {size} features each, by the gain alone: {kind}, {held_out:.3f}. Its "
        f"groups are the true ones to {agreement:.2f} (adjusted Rand index: 1 for all, "
        "0 by chance)."
    )
    (others,) = results[X.shape[1]].values()
    print(
        f"All {X.shape[1]} columns gain {others[0]:.3f} and agree to {others[1]:.2f}; "
        "their gain cannot be compared with that of fewer features."
    )


if __name__ == "__main__":
    main()
